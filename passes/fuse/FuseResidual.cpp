// SPDX-License-Identifier: Apache-2.0
#include "passes/Passes.h"
#include "passes/fuse/Fuse.h"

using namespace mlir;
using namespace lfmc;

namespace lfmc {
#define GEN_PASS_DEF_FUSERESIDUAL
#include "passes/Passes.h.inc"
} // namespace lfmc

/// Whether `op` is a linear, or those of experts, that can take up an addition
/// in `block`.
template <typename OpTy>
static bool takes(OpTy op, Block *block) {
  return op && op->hasOneUse() && op->getBlock() == block &&
         !op.getResidual() && op.getActivation() == lfm2::Activation::None;
}

static bool takesAddition(Value value, Block *block) {
  return takes(value.getDefiningOp<lfm2::LinearOp>(), block) ||
         takes(value.getDefiningOp<lfm2::ExpertsOp>(), block);
}

static LogicalResult fuseResidual(arith::AddFOp add, RewriterBase &rewriter) {
  Value residual = add.getLhs(), sum = add.getRhs();
  if (!takesAddition(sum, add->getBlock()))
    std::swap(residual, sum);
  if (!takesAddition(sum, add->getBlock()))
    return failure();

  // The residual may be computed after the op: meet at the addition.
  rewriter.setInsertionPoint(add);
  Operation *op = sum.getDefiningOp();
  Operation *fused = rewriter.clone(*op);
  if (auto linear = dyn_cast<lfm2::LinearOp>(fused))
    linear.getResidualMutable().assign(residual);
  else
    cast<lfm2::ExpertsOp>(fused).getResidualMutable().assign(residual);
  fused->setLoc(rewriter.getFusedLoc({op->getLoc(), add.getLoc()}));
  rewriter.replaceOp(add, fused);
  rewriter.eraseOp(op);
  return success();
}

namespace {
struct FuseResidual : lfmc::impl::FuseResidualBase<FuseResidual> {
  void runOnOperation() override {
    fuseAll<arith::AddFOp>(getOperation(), fuseResidual);
  }
};
} // namespace
