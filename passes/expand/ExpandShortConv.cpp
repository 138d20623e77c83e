// SPDX-License-Identifier: Apache-2.0
#include "dialects/lfm2/Lfm2.h"
#include "passes/expand/Emitter.h"

#include "mlir/IR/PatternMatch.h"

using namespace mlir;
using namespace lfmc;
using namespace lfmc::expand;

namespace {

// With the state's rows before those of z, every tap is in range:
// y[t] = sum_j weight[:, j] * columns[t + j], and the new state is the end.
struct ExpandShortConv : OpRewritePattern<lfm2::ShortConvOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(lfm2::ShortConvOp op,
                                PatternRewriter &rewriter) const override {
    Emitter e(op.getLoc(), rewriter);
    RankedTensorType state = op.getState().getType();
    OpFoldResult zero = e.getIndexAttr(0);
    OpFoldResult past = e.getIndexAttr(state.getDimSize(0));
    OpFoldResult width = e.getIndexAttr(state.getDimSize(1));
    OpFoldResult tokens = e.size(op.getX(), 0);
    Sizes pastSizes{past, width}, sizes{tokens, width};

    OpFoldResult total = affineSum(e, tokens, state.getDimSize(0));
    Value columns = e.empty({total, width});
    columns = e.insert(op.getState(), columns, {zero, zero}, pastSizes);
    Value z = op.getX();
    auto product = [](Emitter &e, ValueRange v) -> SmallVector<Value> {
      return {e.mul(v[0], v[1])};
    };
    if (op.getPre())
      z = e.elementwise("th", {"th", "th"}, {op.getPre(), z},
                        e.slice(columns, {past, zero}, sizes), product);
    columns = e.insert(z, columns, {past, zero}, sizes);

    Value init = e.filled(sizes, 0);
    if (op.getBias())
      init = e.elementwise(
          "th", {"h"}, e.operand(op.getBias()), e.empty(sizes),
          [](Emitter &, ValueRange v) -> SmallVector<Value> { return {v[0]}; });
    Value y = e.contract("thJ", {"t+jh", "hj", "th"}, columns,
                         e.operand(op.getWeight()), init);
    if (op.getPost())
      y = e.elementwise("th", {"th", "th"}, {op.getPost(), y}, e.empty(sizes),
                        product);
    rewriter.replaceOp(op, {y, e.slice(columns, {tokens, zero}, pastSizes)});
    return success();
  }

  static OpFoldResult affineSum(Emitter &e, OpFoldResult size, int64_t addend) {
    if (auto constant = dyn_cast<Attribute>(size))
      return e.getIndexAttr(cast<IntegerAttr>(constant).getInt() + addend);
    return arith::AddIOp::create(e, cast<Value>(size), e.index(addend))
        .getResult();
  }
};

} // namespace

void lfmc::expand::populateShortConv(RewritePatternSet &patterns) {
  patterns.add<ExpandShortConv>(patterns.getContext());
}
