// SPDX-License-Identifier: Apache-2.0
#include "passes/analysis/saved_values.h"

using namespace mlir;
namespace fil::passes {

std::vector<SavedValue> savedValues(ModuleOp m) {
  std::vector<SavedValue> all;
  if (auto list = m->getAttrOfType<ArrayAttr>("fil.saved"))
    for (auto d : list.getAsRange<DictionaryAttr>()) {
      auto text = [&](StringRef name) { return d.getAs<StringAttr>(name).str(); };
      all.push_back({text("entry"), text("site"), text("what"), d.getAs<TypeAttr>("type").getValue(), d.getAs<IntegerAttr>("turns").getInt(), d.getAs<BoolAttr>("again").getValue(), text("why"), d.contains("scales") ? d.getAs<TypeAttr>("scales").getValue() : Type()});
    }
  return all;
}

void noteSavedValues(ModuleOp m, ArrayRef<SavedValue> all) {
  Builder b(m.getContext());
  SmallVector<Attribute> list;
  for (const SavedValue &s : all) {
    auto text = [&](StringRef name, const std::string &t) { return b.getNamedAttr(name, b.getStringAttr(t)); };
    SmallVector<NamedAttribute> row{text("entry", s.entry), text("site", s.site), text("what", s.what), b.getNamedAttr("type", TypeAttr::get(s.type)), b.getNamedAttr("turns", b.getI64IntegerAttr(s.turns)),
                                    b.getNamedAttr("again", b.getBoolAttr(s.again)), text("why", s.why)};
    if (s.scales) row.push_back(b.getNamedAttr("scales", TypeAttr::get(s.scales)));
    list.push_back(b.getDictionaryAttr(row));
  }
  if (!list.empty()) m->setAttr("fil.saved", b.getArrayAttr(list));
}

} // namespace fil::passes
