// SPDX-License-Identifier: Apache-2.0
//
// route and experts. Loop letters: t token, e and F expert, j slot, n row of an
// expert's matrix, k column.
#include "dialects/lfm2/Lfm2.h"
#include "passes/expand/Emitter.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/PatternMatch.h"

using namespace mlir;
using namespace lfmc;
using namespace lfmc::expand;

namespace {

Value i32(Emitter &e, int64_t value) {
  return arith::ConstantOp::create(e, e.getI32IntegerAttr(int32_t(value)));
}

Value zeros(Emitter &e, const Sizes &sizes) {
  return linalg::FillOp::create(e, ValueRange{i32(e, 0)},
                                ValueRange{e.empty(sizes, e.getI32Type())})
      .getResult(0);
}

/// `then` where `condition` holds, else `otherwise`.
Value select(Emitter &e, Value condition, Value then, Value otherwise) {
  return arith::SelectOp::create(e, condition, then, otherwise);
}

/// The number of the iteration of loop `dim`, as i32.
Value number(Emitter &e, int64_t dim) {
  return arith::IndexCastOp::create(e, e.getI32Type(),
                                    linalg::IndexOp::create(e, dim));
}

Value less(Emitter &e, Value a, Value b) {
  return arith::CmpIOp::create(e, arith::CmpIPredicate::slt, a, b);
}

/// An expert is chosen if fewer than top_k others go before it, and its slot is
/// the number of chosen ones with a smaller number. No value of the logits, NaN
/// included, leads to a slot or an expert that does not exist.
struct ExpandRoute : OpRewritePattern<lfm2::RouteOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(lfm2::RouteOp op,
                                PatternRewriter &rewriter) const override {
    Emitter e(op.getLoc(), rewriter);
    int64_t topK = op.getTopK();
    OpFoldResult tokens = e.size(op.getLogits(), 0);
    Sizes all{tokens, e.getIndexAttr(op.getLogits().getType().getDimSize(1))};
    Sizes slots{tokens, e.getIndexAttr(topK)};
    Value scores =
        e.elementwise("te", {"te"}, op.getLogits(), e.empty(all),
                      [](Emitter &e, ValueRange v) -> SmallVector<Value> {
                        Value power = e.exp(e.sub(e.f32(0), v[0]));
                        return {e.div(e.f32(1), e.add(e.f32(1), power))};
                      });
    Value biased = scores;
    if (op.getBias())
      biased = e.elementwise(
          "te", {"te", "e"}, {scores, e.operand(op.getBias())}, e.empty(all),
          [](Emitter &e, ValueRange v) -> SmallVector<Value> {
            return {e.add(v[0], v[1])};
          });
    auto count = [&](Emitter &e, Value condition, Value sum) {
      return arith::AddIOp::create(e, sum,
                                   select(e, condition, i32(e, 1), i32(e, 0)))
          .getResult();
    };
    Value rank =
        e.loopNest("teF", {"te", "tf", "te"}, {biased, biased}, zeros(e, all),
                   [&](Emitter &e, ValueRange v) -> SmallVector<Value> {
                     auto compare = [&](arith::CmpFPredicate predicate) {
                       return arith::CmpFOp::create(e, predicate, v[1], v[0]);
                     };
                     Value first = arith::AndIOp::create(
                         e, compare(arith::CmpFPredicate::OEQ),
                         less(e, number(e, 2), number(e, 1)));
                     Value before = arith::OrIOp::create(
                         e, compare(arith::CmpFPredicate::OGT), first);
                     return {count(e, before, v[2])};
                   })
            .front();
    Value slot =
        e.loopNest("teF", {"tf", "te"}, rank, zeros(e, all),
                   [&](Emitter &e, ValueRange v) -> SmallVector<Value> {
                     Value before = arith::AndIOp::create(
                         e, less(e, v[0], i32(e, topK)),
                         less(e, number(e, 2), number(e, 1)));
                     return {count(e, before, v[1])};
                   })
            .front();
    SmallVector<Value> picked =
        e.loopNest("tjE", {"te", "te", "te", "tj", "tj"}, {rank, slot, scores},
                   {zeros(e, slots), e.filled(slots, 0)},
                   [&](Emitter &e, ValueRange v) -> SmallVector<Value> {
                     Value here = arith::AndIOp::create(
                         e, less(e, v[0], i32(e, topK)),
                         arith::CmpIOp::create(e, arith::CmpIPredicate::eq,
                                               v[1], number(e, 1)));
                     return {select(e, here, number(e, 2), v[3]),
                             select(e, here, v[2], v[4])};
                   });
    Value weights = picked[1];
    double scaling = op.getScaling().convertToDouble();
    if (op.getNormalize()) {
      Value sum =
          e.loopNest("tJ", {"tj", "t"}, weights, e.filled({tokens}, 0),
                     [](Emitter &e, ValueRange v) -> SmallVector<Value> {
                       return {e.add(v[1], v[0])};
                     })
              .front();
      weights =
          e.elementwise("tj", {"tj", "t"}, {weights, sum}, e.empty(slots),
                        [](Emitter &e, ValueRange v) -> SmallVector<Value> {
                          return {e.div(v[0], e.add(v[1], e.f32(1e-6)))};
                        });
    }
    if (scaling != 1)
      weights =
          e.elementwise("tj", {"tj"}, weights, e.empty(slots),
                        [&](Emitter &e, ValueRange v) -> SmallVector<Value> {
                          return {e.mul(v[0], e.f32(scaling))};
                        });
    rewriter.replaceOp(op, {picked[0], weights});
    return success();
  }
};

/// Rows of the weight are gathered element by element: the expert is data.
struct ExpandExperts : OpRewritePattern<lfm2::ExpertsOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(lfm2::ExpertsOp op,
                                PatternRewriter &rewriter) const override {
    Emitter e(op.getLoc(), rewriter);
    Value x = e.operand(op.getX()), weight = e.operand(op.getWeight());
    rewriter.replaceOp(op, op.isSwiglu() ? spread(e, op, x, weight)
                                         : gather(e, op, x, weight));
    return success();
  }

  /// Element (first + expert * rows + n, k) of the weight, in f32. `n` and `k`
  /// are loops.
  static Value element(Emitter &e, Value weight, Value expert, int64_t first,
                       int64_t rows, int64_t n, int64_t k) {
    Value row = arith::MulIOp::create(
        e, arith::IndexCastOp::create(e, e.getIndexType(), expert),
        e.index(rows));
    row = arith::AddIOp::create(e, row, linalg::IndexOp::create(e, n));
    row = arith::AddIOp::create(e, row, e.index(first));
    Value value = tensor::ExtractOp::create(
        e, weight, ValueRange{row, linalg::IndexOp::create(e, k)});
    if (!value.getType().isF32())
      value = arith::ExtFOp::create(e, e.getF32Type(), value);
    return value;
  }

  static Value spread(Emitter &e, lfm2::ExpertsOp op, Value x, Value weight) {
    int64_t width = op.getSlotWidth();
    Sizes sizes{e.size(op.getX(), 0), e.getIndexAttr(op.getTopK()),
                e.getIndexAttr(width)};
    auto product = [&](int64_t first) {
      return e
          .loopNest("tjnK", {"tk", "tj", "tjn"}, {x, op.getChosen()},
                    e.filled(sizes, 0),
                    [&](Emitter &e, ValueRange v) -> SmallVector<Value> {
                      Value w = element(e, weight, v[1], first, width, 2, 3);
                      return {e.accumulate(v[2], e.mul(v[0], w))};
                    })
          .front();
    };
    Value gate = product(0), up = product(int64_t(op.getExperts()) * width);
    return e.join(e.elementwise(
        "tjn", {"tjn", "tjn", "tj"}, {gate, up, op.getScales()}, e.empty(sizes),
        [](Emitter &e, ValueRange v) -> SmallVector<Value> {
          return {e.mul(v[2], e.mul(e.silu(v[0]), v[1]))};
        }));
  }

  static Value gather(Emitter &e, lfm2::ExpertsOp op, Value x, Value weight) {
    int64_t rows = op.getResult().getType().getDimSize(1);
    Sizes sizes{e.size(op.getX(), 0), e.getIndexAttr(rows)};
    Value slots = e.split(x, {op.getTopK(), op.getSlotWidth()});
    Value y = e.loopNest("tnJK", {"tjk", "tj", "tn"}, {slots, op.getChosen()},
                         e.filled(sizes, 0),
                         [&](Emitter &e, ValueRange v) -> SmallVector<Value> {
                           Value w = element(e, weight, v[1], 0, rows, 1, 3);
                           return {e.accumulate(v[2], e.mul(v[0], w))};
                         })
                  .front();
    if (!op.getResidual())
      return y;
    return e.elementwise("tn", {"tn", "tn"}, {y, op.getResidual()},
                         e.empty(sizes),
                         [](Emitter &e, ValueRange v) -> SmallVector<Value> {
                           return {e.add(v[0], v[1])};
                         });
  }
};

} // namespace

void lfmc::expand::populateExperts(RewritePatternSet &patterns) {
  patterns.add<ExpandRoute, ExpandExperts>(patterns.getContext());
}
