// SPDX-License-Identifier: Apache-2.0
#include "passes/fuse/Fuse.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;

namespace lfmc {

/// The operand of `value`'s defining op that has the same rows, or null.
static Value rowsOperand(Value value) {
  Operation *op = value.getDefiningOp();
  if (!op)
    return {};
  if (isa<lfm2::RmsNormOp, lfm2::LinearOp, lfm2::RopeOp, lfm2::SwigluOp,
          lfm2::AttentionOp, lfm2::EmbedOp, lfm2::ExpertsOp, arith::AddFOp,
          arith::MulFOp>(op))
    return op->getOperand(0);
  // Of these only the first result is rows, the others are state.
  if (isa<lfm2::ShortConvOp, lfm2::RopeCacheOp>(op) &&
      value == op->getResult(0))
    return op->getOperand(0);
  if (std::optional<Columns> columns = matchColumns(value))
    return columns->source;
  return {};
}

Value rowsOf(Value value) {
  while (Value next = rowsOperand(value))
    value = next;
  return value;
}

std::optional<Columns> matchColumns(Value value) {
  auto slice = value.getDefiningOp<tensor::ExtractSliceOp>();
  if (!slice || slice.getSourceType().getRank() != 2 ||
      slice.getType().getRank() != 2 || !slice.hasUnitStride() ||
      slice.isDynamicOffset(1) || slice.isDynamicSize(1) ||
      slice.isDynamicOffset(0) || slice.getStaticOffset(0) != 0)
    return {};

  Columns columns{slice.getSource(), slice.getStaticOffset(1),
                  slice.getStaticSize(1)};
  int64_t rows = slice.getSourceType().getDimSize(0);
  if (!slice.isDynamicSize(0))
    return rows == slice.getStaticSize(0) ? std::optional(columns)
                                          : std::nullopt;
  auto dim = slice.getDynamicSize(0).getDefiningOp<tensor::DimOp>();
  if (!dim || dim.getConstantIndex() != 0 ||
      rowsOf(dim.getSource()) != rowsOf(columns.source))
    return {};
  return columns;
}

bool usersComeAfter(Operation *op, Operation *point) {
  return llvm::all_of(op->getUsers(), [&](Operation *user) {
    Operation *ancestor = point->getBlock()->findAncestorOpInBlock(*user);
    return ancestor && point->isBeforeInBlock(ancestor);
  });
}

} // namespace lfmc
