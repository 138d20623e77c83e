// SPDX-License-Identifier: Apache-2.0
#include "passes/stack/StackedWeight.h"

#include "mlir/IR/Builders.h"
#include "llvm/ADT/StringExtras.h"

#include <algorithm>

using namespace mlir;

namespace lfmc {

std::string stackedName(ArrayRef<StringRef> names) {
  size_t shortest = names.front().size();
  for (StringRef name : names)
    shortest = std::min(shortest, name.size());
  auto allHave = [&](auto charAt) {
    return llvm::all_of(names, [&](StringRef name) {
      return charAt(name) == charAt(names.front());
    });
  };
  size_t prefix = 0, suffix = 0;
  while (prefix < shortest && allHave([&](StringRef n) { return n[prefix]; }))
    ++prefix;
  while (prefix + suffix < shortest &&
         allHave([&](StringRef n) { return n[n.size() - 1 - suffix]; }))
    ++suffix;

  SmallVector<StringRef> middles;
  size_t longest = 0;
  for (StringRef name : names) {
    middles.push_back(name.substr(prefix, name.size() - prefix - suffix));
    longest = std::max(longest, middles.back().size());
  }
  return (names.front().take_front(prefix) +
          llvm::join(middles, longest > 2 ? "_" : "") +
          names.front().take_back(suffix))
      .str();
}

lfm2::WeightOp declareStack(SymbolTable &symbols,
                            ArrayRef<lfm2::WeightOp> parts) {
  lfm2::WeightOp first = parts.front();
  SmallVector<StringRef> names;
  SmallVector<StringAttr> tensors;
  SmallVector<Location> locs;
  int64_t rows = 0;
  for (lfm2::WeightOp part : parts) {
    names.push_back(part.getSymName());
    llvm::append_range(tensors,
                       cast<lfm2::SourceAttr>(part.getSource()).getTensors());
    locs.push_back(part.getLoc());
    rows += cast<RankedTensorType>(part.getType()).getDimSize(0);
    if (part->isBeforeInBlock(first))
      first = part;
  }

  auto partType = cast<RankedTensorType>(first.getType());
  SmallVector<int64_t> shape(partType.getShape());
  shape[0] = rows;
  OpBuilder builder(first);
  MLIRContext *context = builder.getContext();
  auto weight = lfm2::WeightOp::create(
      builder, builder.getFusedLoc(locs),
      builder.getStringAttr(stackedName(names)),
      TypeAttr::get(RankedTensorType::get(shape, partType.getElementType(),
                                          partType.getEncoding())),
      lfm2::SourceAttr::get(context, tensors), /*offset=*/IntegerAttr(),
      /*sym_visibility=*/first.getSymVisibilityAttr());
  symbols.insert(weight, weight->getIterator());
  return weight;
}

} // namespace lfmc
