// SPDX-License-Identifier: Apache-2.0
#include "tests/support/program.h"
#include "codegen/reference/reference.h"
#include "mlir/Pass/PassManager.h"
#include "passes/pipeline/pipeline.h"
#include <cmath>
#include <fstream>
#include <llvm/Config/llvm-config.h>

namespace fil {

/// Kernels that another test has compiled already, in the folder `FIL_TEST_KERNELS`: they are found by their whole IR, LLVM's version and the text of `FIL_TEST_OPTIMIZER`, which makes code of it.
static PackageOptions compiledKernels() {
  static std::optional<Store> store = [] {
    const char *folder = std::getenv("FIL_TEST_KERNELS");
    std::optional<Store> made;
    if (folder) made.emplace(folder, int64_t(2) << 30), made->trimWhenDue();
    return made;
  }();
  static const std::string build = [] {
    std::ifstream optimizer(std::getenv("FIL_TEST_OPTIMIZER") ? std::getenv("FIL_TEST_OPTIMIZER") : "");
    return LLVM_VERSION_STRING + std::string(std::istreambuf_iterator<char>(optimizer), {});
  }();
  PackageOptions o;
  if (store) o.store = &*store, o.build = build;
  return o;
}

std::unique_ptr<Executable> makeExecutable(const std::string &backend, std::shared_ptr<mlir::MLIRContext> context, mlir::OwningOpRef<mlir::ModuleOp> module) {
  if (backend == "reference") return referenceExecutable(std::move(context), std::move(module));
  const size_t words = backend.find(" remat ");
  const std::string cpu = backend.substr(0, words);
  Target target = findTarget(cpu == "cpu" || cpu == "exact" ? "native" : cpu);
  target.dots &= cpu != "exact";
  return cpuExecutable(*module, target, words == std::string::npos ? "auto" : backend.substr(words + 7), compiledKernels());
}

TestProgram::TestProgram(const std::string &text, Stage last, const std::string &format, std::map<std::string, int64_t> dims, const std::string &optimizer,
                         const std::string &backend) {
  MemoryFiles files;
  files.content["test.fil"] = text;
  loaded = LoadedProgram::load(files, {"test.fil"}, {std::move(dims)});
  if (!loaded->ok()) return;
  for (const ast::Function *f : loaded->program->functions()) {
    if (f->kind == ast::Function::Model) plan.model = f->name.name;
    if (f->kind == ast::Function::Loss) plan.train.loss = f;
  }
  plan.train.optimizer.name = optimizer;
  if (optimizer == "adamw") {
    plan.train.optimizer.statics = {{"b1", 0.9}, {"b2", 0.99}, {"eps", 1e-8}, {"wd", 0.1}};
    plan.train.optimizer.clip = 1;
  }
  Compiler compiler(*loaded, plan, {});
  auto module = compiler.module(last);
  if (!module) return;
  if (last < Stage::precision_) {
    mlir::PassManager pm(compiler.context.get());
    passes::precision(pm, {0, format});
    if (mlir::failed(pm.run(*module))) return;
  }
  executable = makeExecutable(backend, compiler.context, std::move(module));
}

const Entry &TestProgram::entry(const std::string &name) const {
  const Entry *e = executable->find(name);
  if (!e) throw std::runtime_error("no entry " + name);
  return *e;
}

std::vector<double> values(const Array &a) {
  std::vector<double> v(size_t(a.elements()));
  for (size_t i = 0; i < v.size(); ++i) v[i] = a.at(int64_t(i));
  return v;
}
Array array(const Array &like, const std::vector<double> &v) {
  std::byte *to;
  Array a = Array::make(like.dtype, like.shape, to);
  for (size_t i = 0; i < v.size(); ++i) put(like.dtype, to, int64_t(i), v[i]);
  return a;
}

std::vector<Array> TestProgram::inputs(const Entry &e, const Binding &sizes) {
  std::vector<Array> all;
  std::normal_distribution<double> normal;
  for (const Port &p : e.inputs) {
    Array like;
    like.dtype = p.dtype;
    for (size_t d = 0; d < p.sizes.size(); ++d) like.shape.push_back(valueOf(p.sizes[d], sizes, p.dims[d]));
    std::vector<double> v(size_t(like.elements()));
    for (size_t i = 0; i < v.size(); ++i) {
      if (p.name == "step") v[i] = 3;
      else if (p.name == "seed") v[i] = 5;
      else if (p.name == "lr") v[i] = 0.1;
      else if (p.name == "pos") v[i] = double(i);
      else if (p.dtype == DType::Bool) v[i] = double(random() % 2);
      else if (p.dtype == DType::I32) v[i] = double(random() % uint64_t(p.indexBound ? valueOf(*p.indexBound, sizes, p.name) : 7));
      else v[i] = normal(random);
    }
    all.push_back(array(like, v));
  }
  return all;
}
void TestProgram::randomize() {
  std::normal_distribution<double> normal(0, 0.5);
  for (size_t i = 0; i < executable->variables().size(); ++i) {
    Array a = executable->get(i);
    auto v = values(a);
    for (double &x : v) x = executable->variables()[i].kind == VariableInfo::Param ? normal(random) : 0.1 + std::fabs(normal(random));
    executable->set(i, array(a, v));
  }
}
size_t TestProgram::variable(const std::string &name) const {
  for (size_t i = 0; i < executable->variables().size(); ++i)
    if (executable->variables()[i].name == name) return i;
  throw std::runtime_error("no variable " + name);
}

} // namespace fil
