// SPDX-License-Identifier: Apache-2.0
// Each distinct size stands in one table, as text; all else refers to it by number. The hash detects damage, it is no signature.
#include "runtime/exec/file.h"
#include "runtime/abi/kernel.h"
#include "runtime/base/status.h"
#include <cstring>
#include <nlohmann/json.hpp>

namespace fil {
namespace {

using json = nlohmann::json;
constexpr char magic[8] = {'f', 'i', 'l', 'e', 'x', 'e', 'c', '\n'};
constexpr uint32_t version = 7;

/// The first bytes of the file.
struct Head {
  char magic[8];
  uint32_t version, abi;
  uint64_t textBytes, codeBytes, hash;
};
static_assert(sizeof(Head) == 40);

/// Each step is one-to-one, so that a change of one word always changes the result.
uint64_t mix(uint64_t h, uint64_t word) {
  h = (h ^ word) * 0x9e3779b97f4a7c15ull;
  return h ^ (h >> 32);
}
uint64_t hashOf(uint64_t h, std::string_view bytes) {
  h = mix(h, bytes.size());
  for (size_t i = 0; i < bytes.size(); i += 8) {
    uint64_t word = 0;
    std::memcpy(&word, bytes.data() + i, std::min<size_t>(8, bytes.size() - i));
    h = mix(h, word);
  }
  return h;
}
uint64_t hashOf(const Head &head, std::string_view text, std::string_view code) {
  return hashOf(hashOf(hashOf(0, {reinterpret_cast<const char *>(&head), offsetof(Head, hash)}), text), code);
}

const char *const storageKinds[] = {"variable", "cache", "derived"};
const char *const bufferKinds[] = {"arena", "storage", "input", "output"};
const char *const variableKinds[] = {"param", "state", "optimizer"};
template <size_t N> int number(const char *const (&names)[N], const std::string &name) {
  for (size_t i = 0; i < N; ++i)
    if (name == names[i]) return int(i);
  throw std::invalid_argument("unknown kind " + name);
}
DType dtypeOf(const std::string &text) {
  for (int t = 0; t <= int(DType::E5M2); ++t)
    if (text == name(DType(t))) return DType(t);
  throw std::invalid_argument("unknown element type " + text);
}

// ---- writing ----

struct Writer {
  json sizes = json::array();
  std::map<std::string, size_t> numbers;

  size_t size(const Size &s) {
    auto [it, isNew] = numbers.emplace(s.str(), sizes.size());
    if (isNew) sizes.push_back(it->first);
    return it->second;
  }
  json all(const std::vector<Size> &list) {
    json j = json::array();
    for (const Size &s : list) j.push_back(size(s));
    return j;
  }
  json view(const View &v) {
    json steps = json::array();
    for (auto &[loop, bytes] : v.steps) steps.push_back({loop, size(bytes)});
    return {v.buffer, size(v.offset), steps};
  }
  json steps(const std::vector<Step> &list) {
    json j = json::array();
    for (const Step &s : list) j.push_back(std::visit([this](auto &x) { return step(x); }, s.is));
    return j;
  }
  json step(const Launch &l) {
    json views = json::array();
    for (const View &v : l.views) views.push_back(view(v));
    return {{"is", "launch"}, {"kernel", l.kernel}, {"views", views}, {"sizes", all(l.sizes)}, {"tiles", size(l.tiles)}, {"scratch", size(l.scratch)},
            {"grain", l.grain}, {"site", l.site}, {"what", l.what}, {"flops", size(l.flops)}, {"bytes", size(l.bytes)}};
  }
  json step(const LoopStep &l) { return {{"is", "loop"}, {"number", l.number}, {"turns", l.turns}, {"lo", l.lo}, {"reverse", l.reverse}, {"body", steps(l.body)}}; }
  json step(const CopyStep &c) { return {{"is", "copy"}, {"to", view(c.to)}, {"from", view(c.from)}, {"bytes", size(c.bytes)}}; }
  json step(const FillStep &f) { return {{"is", "fill"}, {"to", view(f.to)}, {"bytes", size(f.bytes)}}; }
  json step(const TurnStep &t) { return {{"is", "turn"}, {"to", view(t.to)}, {"loop", t.loop}}; }
  json step(const ChoiceStep &c) { return {{"is", "choice"}, {"of", size(c.of)}, {"limit", c.limit}, {"upTo", steps(c.upTo)}, {"above", steps(c.above)}}; }
  json step(const OnceStep &o) { return {{"is", "once"}, {"storage", o.storage}, {"body", steps(o.body)}}; }

  json ports(const std::vector<Port> &list) {
    json j = json::array();
    for (const Port &p : list) {
      j.push_back({{"name", p.name}, {"dtype", name(p.dtype)}, {"dims", p.dims}, {"sizes", all(p.sizes)}});
      if (p.indexBound) j.back()["indexBound"] = size(*p.indexBound);
    }
    return j;
  }
  json program(const Program &p) {
    json buffers = json::array();
    for (const Buffer &b : p.buffers) buffers.push_back({bufferKinds[b.kind], b.index, size(b.bytes), b.first, b.last, b.what});
    return {{"entry", p.entry.name}, {"inputs", ports(p.entry.inputs)}, {"outputs", ports(p.entry.outputs)}, {"buffers", buffers}, {"steps", steps(p.steps)}, {"running", p.running}, {"writes", p.writes}};
  }
  json manifest(const Manifest &m) {
    json j{{"target", m.target}, {"bounds", m.bounds}, {"plan", m.plan}, {"dims", m.dims}};
    for (const char *list : {"programs", "storages", "variables", "kernels"}) j[list] = json::array();
    for (const Program &p : m.programs) j["programs"].push_back(program(p));
    for (const Storage &s : m.storages) j["storages"].push_back({{"symbol", s.symbol}, {"dtype", name(s.dtype)}, {"dims", s.dims}, {"extents", all(s.extents)}, {"kind", storageKinds[s.kind]}, {"from", s.from}});
    for (const VariableRow &v : m.variables) {
      j["variables"].push_back({{"name", v.info.name}, {"kind", variableKinds[v.info.kind]}, {"dtype", name(v.info.dtype)}, {"shape", v.info.shape}, {"dims", v.info.dims}, {"storage", v.storage}, {"turns", v.turns}, {"axes", v.axes}, {"adapter", v.info.adapter}, {"mask", v.info.mask}, {"kept", v.info.kept}, {"slots", v.info.adapterSlots}, {"predictor", v.info.predictor}, {"scale", v.info.scale}, {"qat_bits", v.info.qatBits}, {"bits", v.info.bits}, {"families", v.info.families}});
      if (v.info.bits) j["variables"].back()["together"] = {v.info.together, v.info.packed};
      if (auto &n = v.info.neurons) j["variables"].back()["neurons"] = {n->output, n->axis, n->counted, n->granule, n->turn};
      if (auto &t = v.info.thinned) j["variables"].back()["thinned"] = {t->axis, t->group, t->columns};
    }
    for (const Kernel &k : m.kernels) j["kernels"].push_back({{"key", k.key}, {"entry", k.entry}, {"codeBytes", k.codeBytes}, {"what", k.what}});
    j["sizes"] = std::move(sizes);
    return j;
  }
};

// ---- reading ----

struct Reader {
  std::vector<Size> table;

  Size size(const json &j) { return table.at(j.get<size_t>()); }
  std::vector<Size> all(const json &j) {
    std::vector<Size> list;
    for (const json &s : j) list.push_back(size(s));
    return list;
  }
  View view(const json &j) {
    View v{j.at(0).get<int>(), size(j.at(1)), {}};
    for (const json &s : j.at(2)) v.steps.push_back({s.at(0).get<int>(), size(s.at(1))});
    return v;
  }
  std::vector<Step> steps(const json &j) {
    std::vector<Step> list;
    for (const json &s : j) list.push_back(step(s));
    return list;
  }
  Step step(const json &j) {
    const std::string is = j.at("is");
    if (is == "launch") {
      Launch l{j.at("kernel"), {}, all(j.at("sizes")), size(j.at("tiles")), size(j.at("scratch")), j.at("grain"), j.at("site"), j.at("what"), size(j.at("flops")), size(j.at("bytes"))};
      for (const json &v : j.at("views")) l.views.push_back(view(v));
      return {l};
    }
    if (is == "loop") return {LoopStep{j.at("number"), j.at("turns"), j.at("lo"), j.at("reverse"), steps(j.at("body"))}};
    if (is == "copy") return {CopyStep{view(j.at("to")), view(j.at("from")), size(j.at("bytes"))}};
    if (is == "fill") return {FillStep{view(j.at("to")), size(j.at("bytes"))}};
    if (is == "turn") return {TurnStep{view(j.at("to")), j.at("loop")}};
    if (is == "choice") return {ChoiceStep{size(j.at("of")), j.at("limit"), steps(j.at("upTo")), steps(j.at("above"))}};
    if (is == "once") return {OnceStep{j.at("storage"), steps(j.at("body"))}};
    throw std::invalid_argument("unknown step " + is);
  }
  std::vector<Port> ports(const json &j) {
    std::vector<Port> list;
    for (const json &p : j) {
      list.push_back({p.at("name"), dtypeOf(p.at("dtype")), p.at("dims"), all(p.at("sizes")), {}});
      if (p.contains("indexBound")) list.back().indexBound = size(p.at("indexBound"));
    }
    return list;
  }
  Program program(const json &j) {
    Program p;
    p.entry = {j.at("entry"), ports(j.at("inputs")), ports(j.at("outputs"))};
    for (const json &b : j.at("buffers")) p.buffers.push_back({Buffer::Kind(number(bufferKinds, b.at(0))), b.at(1), size(b.at(2)), b.at(3), b.at(4), b.at(5)});
    p.steps = steps(j.at("steps"));
    p.running = j.at("running").get<decltype(p.running)>();
    p.writes = j.at("writes").get<std::vector<int>>();
    return p;
  }
  Manifest manifest(const json &j) {
    for (const json &s : j.at("sizes")) {
      auto size = Size::parse(s.get<std::string>());
      if (!size) throw std::invalid_argument("unknown size " + s.get<std::string>());
      table.push_back(*size);
    }
    Manifest m;
    m.target = j.at("target");
    m.bounds = j.at("bounds").get<decltype(m.bounds)>();
    m.plan = j.at("plan");
    m.dims = j.at("dims").get<decltype(m.dims)>();
    for (const json &p : j.at("programs")) m.programs.push_back(program(p));
    for (const json &s : j.at("storages")) m.storages.push_back({s.at("symbol"), dtypeOf(s.at("dtype")), s.at("dims"), all(s.at("extents")), Storage::Kind(number(storageKinds, s.at("kind"))), s.at("from")});
    for (const json &v : j.at("variables")) {
      VariableInfo info{.kind = VariableInfo::Kind(number(variableKinds, v.at("kind"))), .name = v.at("name"), .dtype = dtypeOf(v.at("dtype")), .shape = v.at("shape"), .dims = v.at("dims"), .adapter = v.at("adapter"), .mask = v.at("mask"), .kept = v.at("kept"),
                        .adapterSlots = v.at("slots"), .predictor = v.at("predictor"), .scale = v.at("scale"), .qatBits = v.at("qat_bits"), .bits = v.at("bits"), .families = v.at("families"), .thinned = {}, .neurons = {}};
      if (auto t = v.find("together"); t != v.end()) info.together = t->at(0), info.packed = t->at(1);
      if (auto n = v.find("neurons"); n != v.end()) info.neurons = {n->at(0), n->at(1), n->at(2), n->at(3), n->at(4)};
      if (auto t = v.find("thinned"); t != v.end()) info.thinned = {t->at(0), t->at(1), t->at(2)};
      m.variables.push_back({std::move(info), v.at("storage"), v.at("turns").get<std::vector<std::pair<int, int64_t>>>(), v.at("axes")});
    }
    for (const json &k : j.at("kernels")) m.kernels.push_back({k.at("key"), k.at("entry"), k.at("codeBytes"), k.at("what")});
    return m;
  }
};

} // namespace

std::string fileOf(const Manifest &m) {
  const std::string text = Writer().manifest(m).dump();
  const std::string_view code(reinterpret_cast<const char *>(m.code.data()), m.code.size());
  Head head{{}, version, FIL_ABI_VERSION, text.size(), code.size(), 0};
  std::memcpy(head.magic, magic, sizeof magic);
  head.hash = hashOf(head, text, code);
  return std::string(reinterpret_cast<const char *>(&head), sizeof head) + text + std::string(code);
}
void saveManifest(Files &files, const std::string &path, const Manifest &m) { writeFile(files, path, fileOf(m)); }

Manifest manifestOf(std::string_view bytes, const std::string &path) {
  Head head;
  if (bytes.size() < sizeof head || std::memcmp(bytes.data(), magic, sizeof magic) != 0)
    throw Error(Exit::Input, "E0519", fmt::format("`{}` is no compiled program", path));
  std::memcpy(&head, bytes.data(), sizeof head);
  if (head.version != version || head.abi != FIL_ABI_VERSION)
    throw Error(Exit::Input, "E0519", fmt::format("`{}` was compiled by another version of Filigree", path), "compile its source again");
  auto damaged = [&](const std::string &why) -> Error { return Error(Exit::Input, "E0520", fmt::format("`{}` is damaged: {}", path, why), "compile its source again"); };
  const uint64_t rest = bytes.size() - sizeof head;
  if (head.textBytes > rest || head.codeBytes != rest - head.textBytes) throw damaged("it was cut short or has grown");
  const std::string_view text = bytes.substr(sizeof head, head.textBytes), code = bytes.substr(sizeof head + head.textBytes);
  if (hashOf(head, text, code) != head.hash) throw damaged("its content is not what was written");
  try {
    Manifest m = Reader().manifest(json::parse(text));
    auto *p = reinterpret_cast<const std::byte *>(code.data());
    m.code.assign(p, p + code.size());
    return m;
  } catch (const Error &) {
    throw;
  } catch (const std::exception &e) { // what the hash does not see: a writer with a fault
    throw damaged(e.what());
  }
}
Manifest loadManifest(Files &files, const std::string &path) { return manifestOf(files.read(path).text(), path); }

} // namespace fil
