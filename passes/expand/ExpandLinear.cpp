// SPDX-License-Identifier: Apache-2.0
//
// embed, rms_norm, linear, swiglu.
#include "dialects/lfm2/Lfm2.h"
#include "passes/expand/Emitter.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/PatternMatch.h"

using namespace mlir;
using namespace lfmc;
using namespace lfmc::expand;

Value lfmc::expand::rmsNorm(Emitter &e, Value x, Value weight, double eps) {
  int64_t width = cast<ShapedType>(x.getType()).getDimSize(1);
  int64_t group = cast<ShapedType>(weight.getType()).getDimSize(0);
  OpFoldResult tokens = e.size(x, 0);
  Value groups = e.split(x, {width / group, group});
  Sizes outer{tokens, e.getIndexAttr(width / group)};
  Sizes all{tokens, e.getIndexAttr(width / group), e.getIndexAttr(group)};

  Value sum = e.loopNest("tgD", {"tgd", "tg"}, groups, e.filled(outer, 0),
                         [](Emitter &e, ValueRange v) -> SmallVector<Value> {
                           return {e.accumulate(v[1], e.mul(v[0], v[0]))};
                         })
                  .front();
  Value scale =
      e.elementwise("tg", {"tg"}, sum, e.empty(outer),
                    [&](Emitter &e, ValueRange v) -> SmallVector<Value> {
                      Value mean = e.div(v[0], e.f32(double(group)));
                      Value root =
                          math::SqrtOp::create(e, e.add(mean, e.f32(eps)));
                      return {e.div(e.f32(1.0), root)};
                    });
  Value result = e.elementwise(
      "tgd", {"tgd", "tg", "d"}, {groups, scale, weight}, e.empty(all),
      [](Emitter &e, ValueRange v) -> SmallVector<Value> {
        return {e.mul(v[2], e.mul(v[0], v[1]))};
      });
  return e.join(result);
}

Value lfmc::expand::roundToInt8(Emitter &e, Value groups) {
  ArrayRef<int64_t> shape = cast<ShapedType>(groups.getType()).getShape();
  Sizes outer{e.size(groups, 0), e.getIndexAttr(shape[1])};
  Sizes all{outer[0], outer[1], e.getIndexAttr(shape[2])};
  Value largest =
      e.loopNest("tgD", {"tgd", "tg"}, groups, e.filled(outer, 0),
                 [](Emitter &e, ValueRange v) -> SmallVector<Value> {
                   Value size = math::AbsFOp::create(e, v[0]);
                   return {arith::MaximumFOp::create(e, v[1], size)};
                 })
          .front();
  return e.elementwise(
      "tgd", {"tgd", "tg"}, {groups, largest}, e.empty(all),
      [](Emitter &e, ValueRange v) -> SmallVector<Value> {
        Value scale = e.div(v[1], e.f32(127));
        Value zero = e.f32(0);
        Value some =
            arith::CmpFOp::create(e, arith::CmpFPredicate::OGT, scale, zero);
        Value inverse =
            arith::SelectOp::create(e, some, e.div(e.f32(1), scale), zero);
        // Adding and taking away 1.5 * 2^23 rounds to nearest, ties to even.
        Value magic = e.f32(12582912.0);
        Value code = e.sub(e.add(e.mul(v[0], inverse), magic), magic);
        return {e.mul(code, scale)};
      });
}

// silu(gate) * up.
static Value swiglu(Emitter &e, Value gate, Value up, const Sizes &sizes) {
  return e.elementwise("tn", {"tn", "tn"}, {gate, up}, e.empty(sizes),
                       [](Emitter &e, ValueRange v) -> SmallVector<Value> {
                         return {e.mul(e.silu(v[0]), v[1])};
                       });
}

namespace {

struct ExpandEmbed : OpRewritePattern<lfm2::EmbedOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(lfm2::EmbedOp op,
                                PatternRewriter &rewriter) const override {
    Emitter e(op.getLoc(), rewriter);
    Value table = e.operand(op.getTable());
    Sizes sizes{e.size(op.getTokens(), 0),
                e.getIndexAttr(op.getTable().getType().getDimSize(1))};
    Value result = e.elementwise(
        "tk", {"t"}, op.getTokens(), e.empty(sizes),
        [&](Emitter &e, ValueRange v) -> SmallVector<Value> {
          Value row = arith::IndexCastOp::create(e, e.getIndexType(), v[0]);
          Value column = linalg::IndexOp::create(e, 1);
          Value element =
              tensor::ExtractOp::create(e, table, ValueRange{row, column});
          if (!element.getType().isF32())
            element = arith::ExtFOp::create(e, e.getF32Type(), element);
          return {element};
        });
    rewriter.replaceOp(op, result);
    return success();
  }
};

struct ExpandRmsNorm : OpRewritePattern<lfm2::RmsNormOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(lfm2::RmsNormOp op,
                                PatternRewriter &rewriter) const override {
    Emitter e(op.getLoc(), rewriter);
    rewriter.replaceOp(op, rmsNorm(e, op.getX(), e.operand(op.getWeight()),
                                   op.getEps().convertToDouble()));
    return success();
  }
};

struct ExpandLinear : OpRewritePattern<lfm2::LinearOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(lfm2::LinearOp op,
                                PatternRewriter &rewriter) const override {
    Emitter e(op.getLoc(), rewriter);
    Value x = e.operand(op.getX());
    if (op.getNorm())
      x = rmsNorm(e, x, e.operand(op.getNorm()),
                  op.getEps()->convertToDouble());
    int64_t rows = op.getWeight().getType().getDimSize(0);
    OpFoldResult tokens = e.size(op.getX(), 0);
    Sizes sizes{tokens, e.getIndexAttr(rows)};
    // n is outermost: a row of the weight serves all tokens while it is in the
    // cache.
    Value y = e.contract("ntK", {"tk", "nk", "tn"}, x,
                         e.operand(op.getWeight()), e.filled(sizes, 0));
    auto sum = [](Emitter &e, ValueRange v) -> SmallVector<Value> {
      return {e.add(v[0], v[1])};
    };
    if (op.getBias())
      y = e.elementwise("tn", {"tn", "n"}, {y, e.operand(op.getBias())},
                        e.empty(sizes), sum);
    if (op.getResidual())
      y = e.elementwise("tn", {"tn", "tn"}, {y, op.getResidual()},
                        e.empty(sizes), sum);
    if (op.getActivation() == lfm2::Activation::Swiglu) {
      OpFoldResult zero = e.getIndexAttr(0), half = e.getIndexAttr(rows / 2);
      Sizes halfSizes{tokens, half};
      y = swiglu(e, e.slice(y, {zero, zero}, halfSizes),
                 e.slice(y, {zero, half}, halfSizes), halfSizes);
    }
    rewriter.replaceOp(op, y);
    return success();
  }
};

/// By integers: not every processor, nor every library, converts to bf16.
static Value roundToBf16(Emitter &e, Value x) {
  Sizes sizes{e.size(x, 0), e.size(x, 1)};
  return e.elementwise(
      "tk", {"tk"}, x, e.empty(sizes, e.getBF16Type()),
      [](Emitter &e, ValueRange v) -> SmallVector<Value> {
        auto constant = [&](int64_t value) -> Value {
          return arith::ConstantOp::create(e, e.getI32IntegerAttr(value));
        };
        Value bits = arith::BitcastOp::create(e, e.getI32Type(), v[0]);
        Value high = arith::ShRUIOp::create(e, bits, constant(16));
        Value odd = arith::AndIOp::create(e, high, constant(1));
        Value up = arith::AddIOp::create(e, odd, constant(0x7fff));
        Value sum = arith::AddIOp::create(e, bits, up);
        sum = arith::ShRUIOp::create(e, sum, constant(16));
        Value half = arith::TruncIOp::create(e, e.getI16Type(), sum);
        return {arith::BitcastOp::create(e, e.getBF16Type(), half)};
      });
}

/// The values that the codes stand for; the codes themselves are the kernels'
/// business.
struct ExpandQuantize : OpRewritePattern<lfm2::QuantizeOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(lfm2::QuantizeOp op,
                                PatternRewriter &rewriter) const override {
    Emitter e(op.getLoc(), rewriter);
    RankedTensorType type = op.getResult().getType();
    Value x = op.getX();
    if (op.getNorm())
      x = rmsNorm(e, x, e.operand(op.getNorm()),
                  op.getEps()->convertToDouble());
    if (type.getElementType().isBF16()) {
      rewriter.replaceOp(op, roundToBf16(e, x));
      return success();
    }
    int64_t block = cast<lfm2::QuantizedAttr>(type.getEncoding()).getBlock();
    Value groups = e.split(x, {type.getDimSize(1) / block, block});
    rewriter.replaceOpWithNewOp<tensor::CastOp>(op, type,
                                                e.join(roundToInt8(e, groups)));
    return success();
  }
};

struct ExpandSwiglu : OpRewritePattern<lfm2::SwigluOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(lfm2::SwigluOp op,
                                PatternRewriter &rewriter) const override {
    Emitter e(op.getLoc(), rewriter);
    Sizes sizes{e.size(op.getGate(), 0), e.size(op.getGate(), 1)};
    rewriter.replaceOp(op, swiglu(e, op.getGate(), op.getUp(), sizes));
    return success();
  }
};

} // namespace

void lfmc::expand::populateLinear(RewritePatternSet &patterns) {
  patterns.add<ExpandEmbed, ExpandRmsNorm, ExpandLinear, ExpandQuantize,
               ExpandSwiglu>(patterns.getContext());
}
