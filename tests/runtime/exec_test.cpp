// SPDX-License-Identifier: Apache-2.0
// Compiled programs whose kernels are plain functions: what each step does, which sizes it sees, what is kept between calls.
#include "runtime/base/status.h"
#include "runtime/base/thread_pool.h"
#include "tests/runtime/manifests.h"
#include <gtest/gtest.h>
#include <cmath>

using namespace fil;
using namespace fil::test;

TEST(Exec, AStepReadsInputsAndWritesNewOutputs) {
  auto x = loadExecutable(unary(Scale, 3), kernels());
  auto out = x->run(x->entries()[0], {floats({1, 2, 3})});
  EXPECT_EQ(values(out.at(0)), (std::vector<float>{3, 6, 9}));
  EXPECT_EQ(values(x->run(x->entries()[0], {floats({5})}).at(0)), (std::vector<float>{15}));
  EXPECT_TRUE(x->run(x->entries()[0], {floats({})}).at(0).shape == std::vector<int64_t>{0});
}

TEST(Exec, TilesAreDoneOnceEachAtAnyGrain) {
  for (int64_t grain : {1, 3, 1000})
    for (int n : {1, 2, 7, 5000}) {
      Manifest m = unary(Scale, 2);
      std::get<Launch>(m.programs[0].steps[0].is).grain = grain;
      auto x = loadExecutable(m, kernels());
      std::vector<float> in(size_t(n), 1.5f), want(size_t(n), 3.0f);
      EXPECT_EQ(values(x->run(x->entries()[0], {floats(in)}).at(0)), want);
    }
}

TEST(Exec, MathIsThatOfTheLibrary) {
  auto x = loadExecutable(unary(Math, 0), kernels());
  auto out = values(x->run(x->entries()[0], {floats({0.5f})}).at(0));
  const double h = 0.5;
  EXPECT_EQ(out[0], float(std::exp(h) + std::log(h) + std::sin(h) + std::cos(h) + std::tanh(h) + std::erf(h) + std::pow(h, 3.0)));
}

TEST(Exec, EachThreadHasAlignedScratchOfItsOwn) {
  Manifest m = unary(UseScratch, 0);
  std::get<Launch>(m.programs[0].steps[0].is).scratch = Size(4) * n();
  auto x = loadExecutable(m, kernels());
  std::vector<float> in(4096);
  for (size_t i = 0; i < in.size(); ++i) in[i] = float(i);
  EXPECT_EQ(values(x->run(x->entries()[0], {floats(in)}).at(0)), in);
}

TEST(Exec, LoopsFollowTheirViewsForwardAndBackward) {
  // out[r, c] = order in which (r, c) was visited: kernel Stamp counts up in the arena.
  for (bool outer : {false, true})
    for (bool inner : {false, true}) {
      auto x = loadExecutable(nested(3, 4, outer, inner), kernels());
      for (int again = 0; again < 2; ++again) {
        auto out = values(x->run(x->entries()[0], {}).at(0));
        for (int r = 0; r < 3; ++r)
          for (int c = 0; c < 4; ++c)
            EXPECT_EQ(out[size_t(r * 4 + c)], float((outer ? 2 - r : r) * 4 + (inner ? 3 - c : c)) + 1);
      }
    }
  EXPECT_EQ(values(loadExecutable(nested(0, 4, false, true), kernels())->run(nested(0, 4, false, true).programs[0].entry, {}).at(0)).size(), 0u);
}

TEST(Exec, TurnsCountFromTheLowerBound) {
  ProgramBuilder p("run");
  const int out = p.output("y", DType::I32, {Size(5)});
  p.program.steps = {{LoopStep{7, 5, 10, true, {{TurnStep{{out, 0, {{7, 4}}}, 7}}}}}};
  auto x = loadExecutable(p.manifest(), kernels());
  auto y = x->run(x->entries()[0], {}).at(0);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(y.at(i), 10 + i);
}

TEST(Exec, CopiesAndFillsOfManyMegabytes) {
  ProgramBuilder p("run");
  const int in = p.input("x", {n()}), out = p.output("y", DType::F32, {n()}), a = p.arena(Size(4) * n(), 0, 2);
  p.program.steps = {{FillStep{{a, 0, {}}, Size(4) * n()}}, {CopyStep{{a, 4, {}}, {in, 4, {}}, Size(4) * n() - Size(4)}}, {CopyStep{{out, 0, {}}, {a, 0, {}}, Size(4) * n()}}};
  auto x = loadExecutable(p.manifest(), kernels());
  std::vector<float> v(1000003);
  for (size_t i = 0; i < v.size(); ++i) v[i] = float(i) + 1;
  auto out2 = values(x->run(x->entries()[0], {floats(v)}).at(0));
  v[0] = 0;
  EXPECT_EQ(out2, v);
}

TEST(Exec, AChoiceIsMadeBySizeAndTheOtherSideIsNotEvaluated) {
  ProgramBuilder p("run");
  const int in = p.input("x", {n()}), out = p.output("y", DType::F32, {n()});
  auto scale = [&](int64_t by, Size size) {
    Launch l = p.launch(Scale, {{in, 0, {}}, {out, 0, {}}}, {size, by}, n());
    return Step{l};
  };
  ChoiceStep c;
  c.of = n(), c.limit = 3;
  c.upTo = {scale(2, n())}, c.above = {scale(5, n() / Size(2) * Size(2)), scale(7, n() - Size(4))}; // below 0 for n < 4
  std::get<Launch>(c.above[1].is).tiles = n() - Size(4);
  p.program.steps = {{c}};
  auto x = loadExecutable(p.manifest(), kernels());
  EXPECT_EQ(values(x->run(x->entries()[0], {floats({1, 1, 1})}).at(0)), (std::vector<float>{2, 2, 2}));
  EXPECT_EQ(values(x->run(x->entries()[0], {floats({1, 1, 1, 1, 1})}).at(0)), (std::vector<float>{7, 5, 5, 5, 5}));
}

TEST(Exec, BuffersOfTheArenaShareMemoryOnlyApartInTime) {
  // y = ((x*2)*3)*5 through three buffers, of which the first and the third may coincide.
  ProgramBuilder p("run");
  const Size bytes = Size(4) * n();
  const int in = p.input("x", {n()}), out = p.output("y", DType::F32, {n()});
  const int a = p.arena(bytes, 0, 1), b = p.arena(bytes, 1, 2), c = p.arena(bytes, 2, 3);
  int from = in;
  for (auto [to, by] : {std::pair(a, 2), {b, 3}, {c, 5}, {out, 1}}) {
    p.program.steps.push_back({p.launch(Scale, {{from, 0, {}}, {to, 0, {}}}, {n(), by}, n())});
    from = to;
  }
  auto x = loadExecutable(p.manifest(), kernels());
  EXPECT_EQ(values(x->run(x->entries()[0], {floats(std::vector<float>(100, 1))}).at(0)), std::vector<float>(100, 30));
  EXPECT_EQ(x->arenaBytes(), 2 * 448);
}

TEST(Exec, BindingsAreRightWhicheverOfManySizesComes) {
  auto x = loadExecutable(unary(Scale, 3), kernels());
  std::vector<Array> out;
  for (int round = 0; round < 3; ++round)
    for (int size = 1; size < 30; size += 1 + round) {
      const Array in[] = {floats(std::vector<float>(size_t(size), 2))};
      x->run(x->entries()[0], in, out);
      EXPECT_EQ(values(out.at(0)), std::vector<float>(size_t(size), 6));
    }
}

TEST(Exec, OutputsAreWrittenOverUnlessSomebodyHoldsThem) {
  auto x = loadExecutable(unary(Scale, 3), kernels());
  std::vector<Array> out;
  const Array a[] = {floats({1, 2})}, b[] = {floats({3, 4})};
  x->run(x->entries()[0], a, out);
  const void *first = out[0].data.get();
  x->run(x->entries()[0], b, out);
  EXPECT_EQ(out[0].data.get(), first);
  Array held = out[0];
  x->run(x->entries()[0], a, out);
  EXPECT_EQ(values(held), (std::vector<float>{9, 12}));
  EXPECT_EQ(values(out[0]), (std::vector<float>{3, 6}));
  const Array fed[] = {out[0]};
  x->run(x->entries()[0], fed, out);
  EXPECT_EQ(values(out[0]), (std::vector<float>{9, 18}));
}

TEST(Exec, VariablesKeepTheirDeclaredOrder) {
  // A storage [L=2, B=3, A=4] of rows l[i].w declared [A, B].
  Manifest m = unary(Scale, 1);
  m.bounds = {{"Card", 3}};
  m.storages.push_back({"w", DType::F32, {"L", "Card", "A"}, {Size(2), Size::symbol("Card"), Size(4)}});
  for (int l = 0; l < 2; ++l) m.variables.push_back({{VariableInfo::Param, "l[" + std::to_string(l) + "].w", DType::F32, {4, 3}, {"A", "Card"}}, 0, {{0, l}}, {2, 1}});
  ProgramBuilder p("whole");
  const int s = p.storage(0), out = p.output("y", DType::F32, {Size(24)});
  p.program.steps = {{CopyStep{{out, 0, {}}, {s, 0, {}}, 96}}};
  m.programs.push_back(p.program);
  auto x = loadExecutable(m, kernels());
  std::vector<float> v(12);
  for (size_t i = 0; i < 12; ++i) v[i] = float(i);
  x->set(1, Array::of(DType::F32, {4, 3}, v));
  EXPECT_EQ(values(x->get(1)), v);
  EXPECT_EQ(values(x->get(0)), std::vector<float>(12, 0));
  auto whole = values(x->run(*x->find("whole"), {}).at(0));
  for (int b = 0; b < 3; ++b)
    for (int a = 0; a < 4; ++a) EXPECT_EQ(whole[size_t(12 + b * 4 + a)], float(a * 3 + b));
  EXPECT_THROW(x->set(0, floats({1})), Error);
}

namespace {
/// Entries: `read` gives d: [2], derived of w, each element of it made by a turn that writes how many turns have made one; `write` changes w;
/// `other` changes v, of which nothing is derived. Variables are w, v and the count.
Manifest deriving() {
  Manifest m;
  for (const char *name : {"w", "v", "count"}) {
    m.variables.push_back({{VariableInfo::Param, name, DType::F32, {1}, {"A"}}, int(m.storages.size()), {}, {0}});
    m.storages.push_back({name, DType::F32, {"A"}, {Size(1)}});
  }
  m.storages.push_back({"d", DType::F32, {"A"}, {Size(2)}, Storage::Derived, {0}});
  ProgramBuilder read("read");
  const int count = read.storage(2), d = read.storage(3), out = read.output("y", DType::F32, {Size(2)});
  Step made{ProgramBuilder::launch(Stamp, {{count, 0, {}}, {d, 0, {{0, 4}}}}, {}, 1)};
  read.program.steps = {{LoopStep{0, 2, 0, false, {{OnceStep{3, {made}}}}}}, {CopyStep{{out, 0, {}}, {d, 0, {}}, 8}}};
  read.program.writes = {2};
  m.programs.push_back(read.program);
  for (int s : {0, 1}) {
    ProgramBuilder write(s == 0 ? "write" : "other");
    write.program.steps = {{FillStep{{write.storage(s), 0, {}}, 4}}};
    write.program.writes = {s};
    m.programs.push_back(write.program);
  }
  return m;
}
} // namespace

TEST(Exec, WhatIsDerivedHoldsUntilAVariableChanges) {
  auto x = loadExecutable(deriving(), kernels());
  auto read = [&] { return values(x->run(*x->find("read"), {}).at(0)); };
  using F = std::vector<float>;
  EXPECT_EQ(read(), (F{1, 2}));
  EXPECT_EQ(read(), (F{1, 2}));
  x->run(*x->find("other"), {});
  x->set(1, floats({5}));
  EXPECT_EQ(read(), (F{1, 2}));
  x->run(*x->find("write"), {});
  EXPECT_EQ(read(), (F{3, 4}));
  x->set(0, floats({5}));
  EXPECT_EQ(read(), (F{5, 6}));
  EXPECT_EQ(read(), (F{5, 6}));
  x->set(0, floats({6}));
  failAt = 8; // the second turn: the next call begins anew
  EXPECT_THROW(read(), Error);
  failAt = -1;
  EXPECT_EQ(read(), (F{9, 10}));
  EXPECT_EQ(read(), (F{9, 10}));
}

TEST(Exec, WhatIsDerivedContradictsNothing) {
  auto refused = [](auto change) {
    Manifest m = deriving();
    change(m);
    return codeOf([&] { loadExecutable(m, kernels()); });
  };
  EXPECT_EQ(refused([](Manifest &m) { m.programs[0].writes = {0}; }), "E0702"); // of what the program changes
  EXPECT_EQ(refused([](Manifest &m) { m.programs[0].writes = {3}; }), "E0702");
  EXPECT_EQ(refused([](Manifest &m) { m.storages[3].from = {3}; }), "E0702");
  EXPECT_EQ(refused([](Manifest &m) { m.storages[3].from = {}; }), "E0702");
  EXPECT_EQ(refused([](Manifest &m) { m.storages[3].kind = Storage::Variable; }), "E0702");
  EXPECT_EQ(refused([](Manifest &m) { std::get<OnceStep>(std::get<LoopStep>(m.programs[0].steps[0].is).body[0].is).storage = 4; }), "E0702");
  EXPECT_EQ(refused([](Manifest &m) { m.variables[0].storage = 3; }), "E0702");
}

TEST(Exec, CachesGrowByPrefillAndDecode) {
  auto x = loadExecutable(decoder(), kernels());
  const Entry &prefill = *x->find("prefill"), &decode = *x->find("decode");
  auto row = [](std::vector<float> v) { return Array::of(DType::F32, {1, int64_t(v.size())}, v); };
  EXPECT_EQ(codeOf([&] { x->run(decode, {row({1})}); }), "E0702"); // no caches yet
  for (int again = 0; again < 2; ++again) {
    x->resetCaches(1, 5);
    EXPECT_EQ(values(x->run(prefill, {row({1, 2, 3})}).at(0)), (std::vector<float>{6})); // the sum of what the cache holds
    EXPECT_EQ(values(x->run(decode, {row({10})}).at(0)), (std::vector<float>{16}));
    EXPECT_EQ(values(x->run(decode, {row({20})}).at(0)), (std::vector<float>{36}));
    EXPECT_EQ(codeOf([&] { x->run(decode, {row({1})}); }), "E0518");
    EXPECT_EQ(codeOf([&] { x->run(prefill, {Array::of(DType::F32, {2, 1}, std::vector<float>{1, 2})}); }), "E0518");
    EXPECT_EQ(values(x->run(prefill, {row({4})}).at(0)), (std::vector<float>{4}));
    EXPECT_EQ(values(x->run(decode, {row({5})}).at(0)), (std::vector<float>{9}));
  }
}

TEST(Exec, AFailingKernelIsAnInternalErrorAndTheNextCallIsFine) {
  for (int n : {1, 1000}) {
    Manifest m = nested(3, n, true, true);
    auto x = loadExecutable(m, kernels());
    auto want = values(x->run(x->entries()[0], {}).at(0));
    failAt = 2;
    try {
      x->run(x->entries()[0], {});
      ADD_FAILURE();
    } catch (const Error &e) {
      EXPECT_EQ(e.exit(), Exit::Internal);
      EXPECT_NE(e.message().find("a.site"), std::string::npos);
    }
    failAt = -1;
    EXPECT_EQ(values(x->run(x->entries()[0], {}).at(0)), want);
  }
}

TEST(Exec, WrongInputsAreRefusedAndNamed) {
  auto x = loadExecutable(unary(Scale, 1), kernels());
  const Entry &e = x->entries()[0];
  EXPECT_EQ(codeOf([&] { x->run(e, {}); }), "E0702");
  EXPECT_EQ(codeOf([&] { x->run(e, {Array::of(DType::F64, {1}, std::vector<double>{1})}); }), "E0516");
  EXPECT_EQ(codeOf([&] { x->run(e, {Array::of(DType::F32, {1, 1}, std::vector<float>{1})}); }), "E0516");
  ProgramBuilder p("run");
  const int i = p.input("i", {n()}, DType::I32);
  p.program.entry.inputs[0].indexBound = Size(3);
  p.input("j", {n() * Size(2)});
  p.arena(n() / Size(2), 0, 0);
  p.program.steps = {{CopyStep{{2, 0, {}}, {i, 0, {}}, n() / Size(2)}}};
  auto y = loadExecutable(p.manifest(), kernels());
  auto ints = [](std::vector<int32_t> v) { return Array::of(DType::I32, {int64_t(v.size())}, v); };
  EXPECT_EQ(codeOf([&] { y->run(y->entries()[0], {ints({0, 2}), floats({1, 2, 3, 4})}); }), "");
  EXPECT_EQ(codeOf([&] { y->run(y->entries()[0], {ints({0, 3}), floats({1, 2, 3, 4})}); }), "E0515");
  EXPECT_EQ(codeOf([&] { y->run(y->entries()[0], {ints({0, -1}), floats({1, 2, 3, 4})}); }), "E0515");
  EXPECT_EQ(codeOf([&] { y->run(y->entries()[0], {ints({0, 1}), floats({1, 2, 3})}); }), "E0516");
  EXPECT_EQ(codeOf([&] { y->run(y->entries()[0], {ints({0}), floats({1, 2})}); }), "E0517");
}

TEST(Exec, ManifestsThatContradictThemselvesAreRefused) {
  auto refused = [](auto change) {
    Manifest m = nested(3, 4, false, true);
    change(m, std::get<LoopStep>(m.programs[0].steps[1].is));
    return codeOf([&] {
      auto x = loadExecutable(m, kernels());
      x->run(x->entries()[0], {});
    });
  };
  auto launch = [](LoopStep &l) -> Launch & { return std::get<Launch>(std::get<LoopStep>(l.body[0].is).body[0].is); };
  EXPECT_EQ(refused([&](Manifest &, LoopStep &) {}), "");
  EXPECT_EQ(refused([&](Manifest &, LoopStep &l) { launch(l).kernel = 99; }), "E0702");
  EXPECT_EQ(refused([&](Manifest &, LoopStep &l) { launch(l).views[0].buffer = 99; }), "E0702");
  EXPECT_EQ(refused([&](Manifest &, LoopStep &l) { launch(l).views[1].steps[0].first = 99; }), "E0702");
  EXPECT_EQ(refused([&](Manifest &, LoopStep &l) { launch(l).views[1].steps[0].second = 99; }), "E0702"); // leaves its buffer
  EXPECT_EQ(refused([&](Manifest &, LoopStep &l) { l.turns = -1; }), "E0702");
  EXPECT_EQ(refused([&](Manifest &m, LoopStep &) { m.programs[0].buffers[0].index = 1; }), "E0702");
  EXPECT_EQ(refused([&](Manifest &m, LoopStep &) { m.variables.push_back({}); }), "E0702");
}

TEST(Exec, CodeOfAnImageRuns) {
  // mov eax, 5; ret and xor eax, eax; ret
  const uint8_t code[] = {0xb8, 5, 0, 0, 0, 0xc3, 0x31, 0xc0, 0xc3};
  Manifest m = unary(0, 0);
  for (uint8_t b : code) m.code.push_back(std::byte(b));
  m.kernels = {{"five", 0, 6, ""}, {"zero", 6, 3, ""}};
  m.target = "x86-64";
  auto five = loadExecutable(m);
  EXPECT_EQ(codeOf([&] { five->run(five->entries()[0], {floats({1})}); }), "E0702");
  std::get<Launch>(m.programs[0].steps[0].is).kernel = 1;
  auto zero = loadExecutable(m);
  EXPECT_EQ(values(zero->run(zero->entries()[0], {floats({1})}).at(0)), (std::vector<float>{0}));
  m.target = "riscv";
  EXPECT_EQ(codeOf([&] { loadExecutable(m); }), "E0704");
  m.target = "", m.kernels[0].codeBytes = 100;
  EXPECT_EQ(codeOf([&] { loadExecutable(m); }), "E0702");
}

TEST(Exec, AProfileCountsLaunches) {
  auto x = loadExecutable(nested(3, 4, false, true), kernels());
  x->run(x->entries()[0], {});
  EXPECT_TRUE(x->times().empty());
  x->profile(true);
  x->run(x->entries()[0], {}), x->run(x->entries()[0], {});
  x->profile(false);
  x->run(x->entries()[0], {});
  auto t = x->times();
  ASSERT_EQ(t.size(), 2u);
  EXPECT_EQ(t[0].what, "zero count");
  EXPECT_EQ(t[0].calls, 2);
  EXPECT_EQ(t[1].site, "a.site");
  EXPECT_EQ(t[1].calls, 24);
  EXPECT_GT(t[1].seconds, 0);
}
