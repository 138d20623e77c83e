// SPDX-License-Identifier: Apache-2.0
#include "dialects/lfm2/Lfm2.h"
#include "passes/expand/Emitter.h"

#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/PatternMatch.h"

#include <limits>

using namespace mlir;
using namespace lfmc;
using namespace lfmc::expand;

namespace {

// One query row after the other: a row's span of the cache has its own length.
// Loop letters: t token, h cache head, g query head of its group, j position,
// d element of a head.
struct ExpandAttention : OpRewritePattern<lfm2::AttentionOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(lfm2::AttentionOp op,
                                PatternRewriter &rewriter) const override {
    Emitter e(op.getLoc(), rewriter);
    RankedTensorType cache = op.getKCache().getType();
    int64_t positions = cache.getDimSize(0), heads = cache.getDimSize(1),
            headDim = cache.getDimSize(2);
    int64_t group = op.getQ().getType().getDimSize(1) / (heads * headDim);
    OpFoldResult tokens = e.size(op.getQ(), 0);
    auto attr = [&](int64_t value) -> OpFoldResult {
      return e.getIndexAttr(value);
    };

    Value q = e.split(op.getQ(), {heads, group, headDim});
    Value out = e.empty({tokens, attr(heads), attr(group), attr(headDim)});
    // Scores have a static size, so that a fallback kernel can plan for them.
    Value scratch = e.empty({attr(heads), attr(group), attr(positions)});
    auto loop = scf::ForOp::create(e, e.index(0), e.index(tokens), e.index(1),
                                   ValueRange{out, scratch});
    Emitter inner(op.getLoc(), loop.getBody(), loop.getBody()->begin());
    Value t = loop.getInductionVar();
    SmallVector<Value> next = oneRow(inner, op, q, t, loop.getRegionIterArg(0),
                                     loop.getRegionIterArg(1), group);
    scf::YieldOp::create(inner, next);
    rewriter.replaceOp(op, e.join(loop.getResult(0)));
    return success();
  }

  static SmallVector<Value> oneRow(Emitter &e, lfm2::AttentionOp op, Value q,
                                   Value t, Value out, Value scratch,
                                   int64_t group) {
    RankedTensorType cache = op.getKCache().getType();
    OpFoldResult zero = e.getIndexAttr(0), one = e.getIndexAttr(1),
                 heads = e.getIndexAttr(cache.getDimSize(1)),
                 groups = e.getIndexAttr(group),
                 headDim = e.getIndexAttr(cache.getDimSize(2));
    Value end = arith::AddIOp::create(
        e, arith::AddIOp::create(e, op.getPos(), t), e.index(1));
    Value begin = e.index(0), length = end;
    if (op.getWindow()) {
      begin = arith::SubIOp::create(e, end, e.index(*op.getWindow()));
      begin = arith::MaxSIOp::create(e, begin, e.index(0));
      length = arith::SubIOp::create(e, end, begin);
    }
    Sizes cacheAt{begin, zero, zero}, cacheSizes{length, heads, headDim};
    Sizes rowAt{t, zero, zero, zero}, rowSizes{one, heads, groups, headDim};
    Sizes scoresAt{zero, zero, zero}, scoreSizes{heads, groups, length};
    Sizes perHead{heads, groups};
    Value k = e.slice(e.operand(op.getKCache()), cacheAt, cacheSizes);
    Value v = e.slice(e.operand(op.getVCache()), cacheAt, cacheSizes);
    Value row = e.slice(q, rowAt, rowSizes, /*dropFirst=*/true);

    double scale = op.getScale().convertToDouble();
    Value dots = e.slice(scratch, scoresAt, scoreSizes);
    dots = e.elementwise("hgj", {}, {}, dots,
                         [](Emitter &e, ValueRange) -> SmallVector<Value> {
                           return {e.f32(0)};
                         });
    dots = e.contract("hgjD", {"hgd", "jhd", "hgj"}, row, k, dots);
    auto scaled = [&](Emitter &e, Value dot) {
      return e.mul(dot, e.f32(scale));
    };
    Value maximum =
        e.loopNest("hgJ", {"hgj", "hg"}, dots,
                   e.filled(perHead, -std::numeric_limits<double>::infinity()),
                   [&](Emitter &e, ValueRange v) -> SmallVector<Value> {
                     return {
                         arith::MaximumFOp::create(e, v[1], scaled(e, v[0]))};
                   })
            .front();
    // The maximum is subtracted first, so that no exponential overflows.
    Value weights =
        e.loopNest("hgj", {"hg", "hgj"}, maximum, dots,
                   [&](Emitter &e, ValueRange v) -> SmallVector<Value> {
                     return {e.exp(e.sub(scaled(e, v[1]), v[0]))};
                   })
            .front();
    Value sum = e.loopNest("hgJ", {"hgj", "hg"}, weights, e.filled(perHead, 0),
                           [](Emitter &e, ValueRange v) -> SmallVector<Value> {
                             return {e.accumulate(v[1], v[0])};
                           })
                    .front();

    Sizes resultSizes{heads, groups, headDim};
    Value result = e.contract("hgJd", {"hgj", "jhd", "hgd"}, weights, v,
                              e.filled(resultSizes, 0));
    Value place = e.slice(out, rowAt, rowSizes, /*dropFirst=*/true);
    result = e.elementwise("hgd", {"hgd", "hg"}, {result, sum}, place,
                           [](Emitter &e, ValueRange v) -> SmallVector<Value> {
                             return {e.div(v[0], v[1])};
                           });
    // The scores go back to the loop so that one buffer serves all rows.
    return {e.insert(result, out, rowAt, rowSizes),
            e.insert(weights, scratch, scoresAt, scoreSizes)};
  }
};

} // namespace

void lfmc::expand::populateAttention(RewritePatternSet &patterns) {
  patterns.add<ExpandAttention>(patterns.getContext());
}
