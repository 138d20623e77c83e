// SPDX-License-Identifier: Apache-2.0
#include "passes/Passes.h"
#include "passes/fuse/Fuse.h"

using namespace mlir;
using namespace lfmc;

namespace lfmc {
#define GEN_PASS_DEF_FUSESWIGLU
#include "passes/Passes.h.inc"
} // namespace lfmc

static LogicalResult fuseSwiglu(lfm2::SwigluOp swiglu, RewriterBase &rewriter) {
  std::optional<Columns> gate = matchColumns(swiglu.getGate());
  std::optional<Columns> up = matchColumns(swiglu.getUp());
  if (!gate || !up || gate->source != up->source)
    return failure();
  auto linear = gate->source.getDefiningOp<lfm2::LinearOp>();
  if (!linear || linear->getBlock() != swiglu->getBlock() ||
      linear.getActivation() != lfm2::Activation::None || linear.getResidual())
    return failure();

  int64_t half = linear.getType().getDimSize(1) / 2;
  if (gate->offset != 0 || up->offset != half || gate->width != half ||
      up->width != half || linear.getType().getDimSize(1) != 2 * half)
    return failure();
  // The halves must vanish: nobody else may look at them or at the whole.
  Operation *gateSlice = swiglu.getGate().getDefiningOp();
  Operation *upSlice = swiglu.getUp().getDefiningOp();
  if (!gateSlice->hasOneUse() || !upSlice->hasOneUse() ||
      !linear.getResult().hasNUses(2))
    return failure();

  rewriter.setInsertionPoint(linear);
  Location loc = rewriter.getFusedLoc({linear.getLoc(), swiglu.getLoc()});
  auto fused = lfm2::LinearOp::create(
      rewriter, loc, swiglu.getType(), linear.getX(), linear.getWeight(),
      linear.getBias(), linear.getNorm(), /*residual=*/Value(),
      linear.getEpsAttr(),
      lfm2::ActivationAttr::get(rewriter.getContext(),
                                lfm2::Activation::Swiglu));
  rewriter.replaceOp(swiglu, fused);
  rewriter.eraseOp(gateSlice);
  rewriter.eraseOp(upSlice);
  rewriter.eraseOp(linear);
  return success();
}

namespace {
struct FuseSwiglu : lfmc::impl::FuseSwigluBase<FuseSwiglu> {
  void runOnOperation() override {
    fuseAll<lfm2::SwigluOp>(getOperation(), fuseSwiglu);
  }
};
} // namespace
