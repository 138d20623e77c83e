// SPDX-License-Identifier: Apache-2.0
#include "passes/Passes.h"
#include "passes/fuse/Fuse.h"

#include "mlir/IR/Dominance.h"

using namespace mlir;
using namespace lfmc;

namespace lfmc {
#define GEN_PASS_DEF_FUSECONVGATES
#include "passes/Passes.h.inc"
} // namespace lfmc

/// Orders the factors of the inner product as (gate, x): for two slices of one
/// matrix, the projection's order of columns (B before x), else as written.
static std::pair<Value, Value> gateAndInput(arith::MulFOp mul) {
  std::optional<Columns> lhs = matchColumns(mul.getLhs());
  std::optional<Columns> rhs = matchColumns(mul.getRhs());
  if (lhs && rhs && lhs->source == rhs->source && lhs->offset > rhs->offset)
    return {mul.getRhs(), mul.getLhs()};
  return {mul.getLhs(), mul.getRhs()};
}

/// Where a fused op can stand so that `post` is defined before it and all users
/// of the new state come after it; null if there is no such place.
static Operation *findPlace(lfm2::ShortConvOp conv, arith::MulFOp postMul,
                            Value post) {
  if (DominanceInfo().properlyDominates(post, conv))
    return conv;
  for (Operation *user : conv.getNewState().getUsers()) {
    Operation *ancestor = conv->getBlock()->findAncestorOpInBlock(*user);
    if (!ancestor || !postMul->isBeforeInBlock(ancestor))
      return nullptr;
  }
  return postMul;
}

static LogicalResult fuseConvGates(lfm2::ShortConvOp conv,
                                   RewriterBase &rewriter) {
  auto preMul = conv.getX().getDefiningOp<arith::MulFOp>();
  if (conv.getPre() || !preMul || !preMul->hasOneUse() ||
      !conv.getResult().hasOneUse() || preMul->getBlock() != conv->getBlock())
    return failure();
  auto postMul = dyn_cast<arith::MulFOp>(*conv.getResult().user_begin());
  if (!postMul || postMul->getBlock() != conv->getBlock())
    return failure();
  Value post = postMul.getLhs() == conv.getResult() ? postMul.getRhs()
                                                    : postMul.getLhs();
  Operation *place = findPlace(conv, postMul, post);
  if (!place)
    return failure();

  auto [pre, x] = gateAndInput(preMul);
  rewriter.setInsertionPoint(place);
  Location loc =
      rewriter.getFusedLoc({preMul.getLoc(), conv.getLoc(), postMul.getLoc()});
  auto fused = lfm2::ShortConvOp::create(rewriter, loc, conv.getResultTypes(),
                                         x, conv.getWeight(), conv.getState(),
                                         conv.getBias(), pre, post);
  rewriter.replaceOp(postMul, fused.getResult());
  rewriter.replaceOp(conv, fused);
  rewriter.eraseOp(preMul);
  return success();
}

namespace {
struct FuseConvGates : lfmc::impl::FuseConvGatesBase<FuseConvGates> {
  void runOnOperation() override {
    fuseAll<lfm2::ShortConvOp>(getOperation(), fuseConvGates);
  }
};
} // namespace
