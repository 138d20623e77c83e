// SPDX-License-Identifier: Apache-2.0
//
// rope, cache_write, rope_cache.
#include "dialects/lfm2/Rope.h"
#include "passes/expand/Emitter.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/PatternMatch.h"

using namespace mlir;
using namespace lfmc;
using namespace lfmc::expand;

namespace {

/// Cosines and sines [tokens, dim/2] of the positions from `pos` on.
struct Angles {
  Value cosine, sine;
};

Angles ropeAngles(Emitter &e, OpFoldResult tokens, Value pos,
                  lfm2::RopeAttr rope) {
  SmallVector<float> values = lfm2::ropeInverseFrequencies(rope);
  int64_t half = values.size();
  Value frequencies = arith::ConstantOp::create(
      e, DenseElementsAttr::get(RankedTensorType::get({half}, e.getF32Type()),
                                ArrayRef<float>(values)));
  Sizes sizes{tokens, e.getIndexAttr(half)};
  SmallVector<Value> tables = e.loopNest(
      "ti", {"i", "ti", "ti"}, frequencies, {e.empty(sizes), e.empty(sizes)},
      [&](Emitter &e, ValueRange v) -> SmallVector<Value> {
        Value position =
            arith::AddIOp::create(e, pos, linalg::IndexOp::create(e, 0));
        position = arith::IndexCastOp::create(e, e.getI64Type(), position);
        Value real = arith::SIToFPOp::create(e, e.getF32Type(), position);
        auto [cosine, sine] = e.cosSin(e.mul(real, v[0]));
        return {cosine, sine};
      });
  return {tables[0], tables[1]};
}

Value rotate(Emitter &e, Value rows, int64_t headDim, lfm2::RopeAttr rope,
             Angles angles) {
  int64_t heads = cast<ShapedType>(rows.getType()).getDimSize(1) / headDim;
  int64_t dim = rope.getDim(), half = dim / 2;
  OpFoldResult tokens = e.size(rows, 0), zero = e.getIndexAttr(0);
  auto sizes = [&](int64_t last) {
    return Sizes{tokens, e.getIndexAttr(heads), e.getIndexAttr(last)};
  };
  auto at = [&](int64_t offset) {
    return Sizes{zero, zero, e.getIndexAttr(offset)};
  };
  Value x = e.split(rows, {heads, headDim});
  Value out = e.empty(sizes(headDim));
  if (dim < headDim)
    out = e.insert(e.slice(x, at(dim), sizes(headDim - dim)), out, at(dim),
                   sizes(headDim - dim));

  int64_t stride = rope.getInterleaved() ? 2 : 1;
  Sizes firstAt = at(0), secondAt = at(rope.getInterleaved() ? 1 : half);
  auto part = [&](Value from, const Sizes &offsets) {
    return e.slice(from, offsets, sizes(half), /*dropFirst=*/false, stride);
  };
  SmallVector<Value> rotated = e.loopNest(
      "thi", {"thi", "thi", "ti", "ti", "thi", "thi"},
      {part(x, firstAt), part(x, secondAt), angles.cosine, angles.sine},
      {e.empty(sizes(half)), e.empty(sizes(half))},
      [](Emitter &e, ValueRange v) -> SmallVector<Value> {
        Value a = v[0], b = v[1], cosine = v[2], sine = v[3];
        return {e.sub(e.mul(a, cosine), e.mul(b, sine)),
                e.add(e.mul(b, cosine), e.mul(a, sine))};
      });
  out = e.insert(rotated[0], out, firstAt, sizes(half), stride);
  out = e.insert(rotated[1], out, secondAt, sizes(half), stride);
  return e.join(out);
}

Value writeCache(Emitter &e, Value rows, Value operand, Value pos) {
  auto type = cast<RankedTensorType>(operand.getType());
  Value cache = e.operand(operand);
  Sizes sizes{e.size(rows, 0), e.getIndexAttr(type.getDimSize(1)),
              e.getIndexAttr(type.getDimSize(2))};
  Value heads = e.split(rows, type.getShape().drop_front());
  if (!type.getElementType().isF32())
    heads = e.elementwise(
        "thd", {"thd"}, heads, e.empty(sizes, type.getElementType()),
        [](Emitter &, ValueRange v) -> SmallVector<Value> { return {v[0]}; });
  if (type.getEncoding())
    heads = roundToInt8(e, heads);
  OpFoldResult zero = e.getIndexAttr(0);
  Value result = e.insert(heads, cache, {OpFoldResult(pos), zero, zero}, sizes);
  return type.getEncoding() ? tensor::CastOp::create(e, type, result) : result;
}

struct ExpandRope : OpRewritePattern<lfm2::RopeOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(lfm2::RopeOp op,
                                PatternRewriter &rewriter) const override {
    Emitter e(op.getLoc(), rewriter);
    Angles angles =
        ropeAngles(e, e.size(op.getX(), 0), op.getPos(), op.getRope());
    rewriter.replaceOp(
        op, rotate(e, op.getX(), op.getHeadDim(), op.getRope(), angles));
    return success();
  }
};

struct ExpandCacheWrite : OpRewritePattern<lfm2::CacheWriteOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(lfm2::CacheWriteOp op,
                                PatternRewriter &rewriter) const override {
    Emitter e(op.getLoc(), rewriter);
    rewriter.replaceOp(op,
                       writeCache(e, op.getX(), op.getCache(), op.getPos()));
    return success();
  }
};

struct ExpandRopeCache : OpRewritePattern<lfm2::RopeCacheOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(lfm2::RopeCacheOp op,
                                PatternRewriter &rewriter) const override {
    Emitter e(op.getLoc(), rewriter);
    int64_t headDim = op.getKCache().getType().getDimSize(2);
    double eps = op.getEps().convertToDouble();
    Angles angles =
        ropeAngles(e, e.size(op.getQ(), 0), op.getPos(), op.getRope());
    auto normed = [&](Value rows, Value weight) {
      return rotate(e, rmsNorm(e, rows, e.operand(weight), eps), headDim,
                    op.getRope(), angles);
    };
    Value q = normed(op.getQ(), op.getQNorm());
    Value k = normed(op.getK(), op.getKNorm());
    rewriter.replaceOp(op,
                       {q, writeCache(e, k, op.getKCache(), op.getPos()),
                        writeCache(e, op.getV(), op.getVCache(), op.getPos())});
    return success();
  }
};

} // namespace

void lfmc::expand::populateRope(RewritePatternSet &patterns) {
  patterns.add<ExpandRope, ExpandCacheWrite, ExpandRopeCache>(
      patterns.getContext());
}
