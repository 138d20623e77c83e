// SPDX-License-Identifier: Apache-2.0
#include "passes/Passes.h"
#include "passes/fuse/Fuse.h"

using namespace mlir;
using namespace lfmc;

namespace lfmc {
#define GEN_PASS_DEF_FUSENORM
#include "passes/Passes.h.inc"
} // namespace lfmc

static LogicalResult fuseNorm(lfm2::LinearOp linear, RewriterBase &rewriter) {
  auto norm = linear.getX().getDefiningOp<lfm2::RmsNormOp>();
  if (!norm || linear.getNorm() || !norm->hasOneUse())
    return failure();
  // Per-head norms have a weight shorter than the row.
  if (norm.getWeight().getType().getDimSize(0) !=
      norm.getX().getType().getDimSize(1))
    return failure();
  // A linear in a loop must not repeat the norm of its surroundings.
  if (norm->getBlock() != linear->getBlock())
    return failure();

  rewriter.setInsertionPoint(linear);
  Location loc = rewriter.getFusedLoc({norm.getLoc(), linear.getLoc()});
  auto fused = lfm2::LinearOp::create(
      rewriter, loc, linear.getType(), norm.getX(), linear.getWeight(),
      linear.getBias(), norm.getWeight(), linear.getResidual(),
      norm.getEpsAttr(), linear.getActivationAttr());
  rewriter.replaceOp(linear, fused);
  rewriter.eraseOp(norm);
  return success();
}

namespace {
struct FuseNorm : lfmc::impl::FuseNormBase<FuseNorm> {
  void runOnOperation() override {
    fuseAll<lfm2::LinearOp>(getOperation(), fuseNorm);
  }
};
} // namespace
