// SPDX-License-Identifier: Apache-2.0
#include "passes/precision/rounding.h"

using namespace mlir;
using namespace fil::ir;
namespace fil::passes {

std::optional<Format> formatFor(StringRef name, ArrayRef<std::string> formats) {
  std::optional<Format> found;
  for (StringRef text : formats) {
    auto [own, format] = text.split('=');
    if (format.empty()) found = formatNamed(own);
    else if (own == name) return formatNamed(format);
  }
  return found;
}

void Rounding::tile(const Dims &dims, StringAttr d, int64_t length) {
  auto n = dims.value(d.getValue()).constant();
  if (n && n->num <= length) reduced.push_back(d);
  else tiles.push_back({d, length});
}

std::pair<StringAttr, StringAttr> Rounder::tileDims(StringAttr d, int64_t n) {
  auto &made = known[{d, n}];
  Builder b(module.getContext());
  if (!made.first)
    made = {b.getStringAttr(dims.add(module, (d.getValue() + "%" + Twine(n)).str(), std::to_string(n))),
            b.getStringAttr(dims.add(module, (d.getValue() + "/" + Twine(n)).str(), Size::ceil(dims.value(d.getValue()) / Size(n)).str()))};
  return made;
}
SmallVector<StringAttr> Rounder::scaleDims(ArrayRef<StringAttr> of, const Rounding &r) {
  SmallVector<StringAttr> left(of);
  for (StringAttr d : r.reduced) llvm::erase(left, d);
  for (auto &[d, n] : r.tiles) std::replace(left.begin(), left.end(), d, tileDims(d, n).second);
  return left;
}

QuantizeOp Rounder::quantize(BodyBuilder &body, Value v, const Rounding &r, Value random) {
  OpBuilder &b = body.builder;
  auto type = cast<ir::TensorType>(v.getType());
  auto site = b.getStringAttr(body.site);
  auto role = RoleAttr::get(b.getContext(), body.role);
  Value scale;
  SmallVector<Attribute> pairs;
  SmallVector<int64_t> lengths;
  if (r.scaled()) {
    SmallVector<Attribute> windows;
    SmallVector<StringAttr> over(r.reduced), cut(type.getDims());
    for (auto &[d, n] : r.tiles) {
      auto [inTile, tiles] = tileDims(d, n);
      windows.push_back(WindowDimAttr::get(b.getContext(), d, inTile, tiles, n, 0));
      over.push_back(inTile), pairs.push_back(d), pairs.push_back(tiles), lengths.push_back(n);
      llvm::erase(cut, d), cut.push_back(tiles), cut.push_back(inTile);
    }
    Value x = body.map(MapFn::abs, {v});
    if (!windows.empty()) x = WindowOp::create(b, v.getLoc(), dims.tensor(b.getContext(), cut, type.getElement()), x, b.getArrayAttr(windows), site, role);
    scale = body.map(MapFn::pow2ceil, {body.mul(body.reduce(ReduceFn::max, x, over), body.constant(1 / traits(r.format).largest))});
  }
  return QuantizeOp::create(b, v.getLoc(), type.withElement(elementOf(b.getContext(), r.format)), v, scale, random, b.getArrayAttr(pairs), b.getDenseI64ArrayAttr(lengths), site, role);
}
Value Rounder::dequantize(BodyBuilder &body, QuantizeOp like, Value narrow, Value scale) {
  auto type = cast<ir::TensorType>(narrow.getType()).withElement(cast<ir::TensorType>(like.getX().getType()).getElement());
  return DequantizeOp::create(body.builder, body.loc, type, narrow, scale, like.getTilesAttr(), like.getLengthsAttr(), body.builder.getStringAttr(body.site), RoleAttr::get(body.builder.getContext(), body.role));
}

} // namespace fil::passes
