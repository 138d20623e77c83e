// SPDX-License-Identifier: Apache-2.0
#include "passes/Passes.h"
#include "passes/fuse/Fuse.h"

using namespace mlir;
using namespace lfmc;

namespace lfmc {
#define GEN_PASS_DEF_FUSERESIDUAL
#include "passes/Passes.h.inc"
} // namespace lfmc

/// The linear that `value` comes from, if it can take up an addition in
/// `block`.
static lfm2::LinearOp matchLinear(Value value, Block *block) {
  auto linear = value.getDefiningOp<lfm2::LinearOp>();
  if (!linear || !linear->hasOneUse() || linear->getBlock() != block ||
      linear.getResidual() || linear.getActivation() != lfm2::Activation::None)
    return {};
  return linear;
}

static LogicalResult fuseResidual(arith::AddFOp add, RewriterBase &rewriter) {
  Value residual = add.getLhs();
  lfm2::LinearOp linear = matchLinear(add.getRhs(), add->getBlock());
  if (!linear) {
    residual = add.getRhs();
    linear = matchLinear(add.getLhs(), add->getBlock());
  }
  if (!linear)
    return failure();

  // The residual may be computed after the linear: meet at the addition.
  rewriter.setInsertionPoint(add);
  Location loc = rewriter.getFusedLoc({linear.getLoc(), add.getLoc()});
  rewriter
      .replaceOpWithNewOp<lfm2::LinearOp>(
          add, linear.getType(), linear.getX(), linear.getWeight(),
          linear.getBias(), linear.getNorm(), residual, linear.getEpsAttr(),
          linear.getActivationAttr())
      ->setLoc(loc);
  rewriter.eraseOp(linear);
  return success();
}

namespace {
struct FuseResidual : lfmc::impl::FuseResidualBase<FuseResidual> {
  void runOnOperation() override {
    fuseAll<arith::AddFOp>(getOperation(), fuseResidual);
  }
};
} // namespace
