// SPDX-License-Identifier: Apache-2.0
// The dim table as read from the module.
#include "ir/ir.h"

using namespace mlir;
namespace fil::ir {

static DimsOp tableOf(Operation *op) {
  auto module = isa<ModuleOp>(op) ? cast<ModuleOp>(op) : op->getParentOfType<ModuleOp>();
  auto tables = module.getOps<DimsOp>();
  assert(!tables.empty() && "a module of fil ops has a table of dims");
  return *tables.begin();
}

Dims::Dims(Operation *inModule) {
  DimsOp table = tableOf(inModule);
  for (auto [n, s] : llvm::zip(table.getNames(), table.getSizes())) {
    std::string name = cast<StringAttr>(n).getValue().str();
    StringRef size = cast<StringAttr>(s).getValue();
    order_[name] = int(names_.size());
    names_.push_back(name);
    sizes_[name] = size == "?" ? Size::symbol(name) : *Size::parse(size);
  }
  for (NamedAttribute b : table.getBounds()) bounds_[b.getName().str()] = *Size::parse(cast<StringAttr>(b.getValue()).getValue());
}
double Dims::atMost(const Size &s) const {
  auto v = value(s).substitute([&](const std::string &name) {
    auto it = bounds_.find(name);
    return it == bounds_.end() ? std::nullopt : std::optional(it->second);
  }).constant();
  assert(v && "a param has no unbounded symbolic dim");
  return v->value();
}
int Dims::order(StringRef dim) const {
  auto it = order_.find(dim.str());
  assert(it != order_.end() && "dim is not in the table");
  return it->second;
}
Size Dims::size(StringRef dim) const {
  auto it = sizes_.find(dim.str());
  return it == sizes_.end() ? Size::symbol(dim.str()) : it->second;
}
Size Dims::value(const Size &s) const {
  return s.substitute([&](const std::string &name) -> std::optional<Size> {
    auto it = sizes_.find(name);
    if (it == sizes_.end() || it->second == Size::symbol(name)) return std::nullopt;
    return value(it->second);
  });
}
Size Dims::elements(Type type) const {
  Size n(1);
  if (auto t = dyn_cast<TensorType>(type))
    for (StringAttr d : t.getDims()) n = n * value(d.getValue());
  else if (auto s = dyn_cast<SubsetType>(type)) {
    for (StringAttr d : s.getPer()) n = n * value(d.getValue());
    n = n * value(s.getMembers().getValue());
  }
  return n;
}
void Dims::sort(SmallVectorImpl<StringAttr> &dims) const {
  llvm::sort(dims, [&](StringAttr a, StringAttr b) { return order(a) < order(b); });
  dims.erase(llvm::unique(dims), dims.end());
}
TensorType Dims::tensor(MLIRContext *ctx, ArrayRef<StringAttr> anyOrder, Type element) const {
  SmallVector<StringAttr> dims(anyOrder);
  sort(dims);
  return TensorType::get(ctx, dims, element);
}
std::string Dims::named(ModuleOp module, StringRef name, const Size &n) {
  return known(name) && value(name) == value(n) ? name.str() : add(module, name, n.str());
}
std::string Dims::add(ModuleOp module, StringRef base, StringRef size, StringRef before) {
  std::string name = base.str();
  for (int i = 1; known(name); ++i) name = (base + "#" + Twine(i)).str();
  DimsOp table = tableOf(module);
  const size_t place = before.empty() ? names_.size() : size_t(order(before));
  auto insert = [&](ArrayAttr a, StringRef s) {
    SmallVector<Attribute> all(a.begin(), a.end());
    all.insert(all.begin() + long(place), StringAttr::get(module.getContext(), s));
    return ArrayAttr::get(module.getContext(), all);
  };
  table.setNamesAttr(insert(table.getNames(), name));
  table.setSizesAttr(insert(table.getSizes(), size));
  names_.insert(names_.begin() + long(place), name);
  for (size_t i = place; i < names_.size(); ++i) order_[names_[i]] = int(i);
  sizes_[name] = size == "?" ? Size::symbol(name) : *Size::parse(size);
  return name;
}
} // namespace fil::ir
