// SPDX-License-Identifier: Apache-2.0
#include "passes/expand/Expand.h"

#include "dialects/lfm2/Lfm2.h"
#include "passes/Passes.h"
#include "passes/expand/Emitter.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

using namespace mlir;
using namespace lfmc;

namespace lfmc {
#define GEN_PASS_DEF_EXPAND
#include "passes/Passes.h.inc"
} // namespace lfmc

void lfmc::populateExpandPatterns(RewritePatternSet &patterns) {
  expand::populateLinear(patterns);
  expand::populateShortConv(patterns);
  expand::populateRope(patterns);
  expand::populateAttention(patterns);
  expand::populateExperts(patterns);
}

// Replaces the type of an encoded argument by the plain one that its casts
// produce.
static LogicalResult dropEncoding(func::FuncOp function, BlockArgument arg) {
  auto type = dyn_cast<RankedTensorType>(arg.getType());
  if (!type || !isa_and_nonnull<lfm2::StoredAttr>(type.getEncoding()))
    return success();
  auto plain = RankedTensorType::get(type.getShape(), type.getElementType());
  for (Operation *user : arg.getUsers()) {
    if (isa<tensor::CastOp>(user) && user->getResult(0).getType() == plain)
      continue;
    InFlightDiagnostic diag = user->emitOpError()
                              << "expected only lfm2 ops to use a stored "
                                 "weight that is a function argument";
    diag.attachNote(function.getLoc()) << "in function @" << function.getName();
    return diag;
  }
  arg.setType(plain);
  for (Operation *user : llvm::make_early_inc_range(arg.getUsers())) {
    user->getResult(0).replaceAllUsesWith(arg);
    user->erase();
  }
  return success();
}

LogicalResult lfmc::expandToLinalg(func::FuncOp function) {
  if (function.isExternal())
    return success();
  RewritePatternSet patterns(function.getContext());
  populateExpandPatterns(patterns);
  if (failed(applyPatternsGreedily(function, std::move(patterns))))
    return function.emitOpError() << "expansion to linalg did not converge";
  WalkResult left = function.walk([](Operation *op) {
    if (!isa_and_nonnull<lfm2::Lfm2Dialect>(op->getDialect()) ||
        isa<lfm2::ParamOp>(op))
      return WalkResult::advance();
    op->emitOpError() << "has no expansion to linalg";
    return WalkResult::interrupt();
  });
  if (left.wasInterrupted())
    return failure();
  for (BlockArgument arg : function.getArguments())
    if (failed(dropEncoding(function, arg)))
      return failure();
  function.setType(FunctionType::get(function.getContext(),
                                     function.getBody().getArgumentTypes(),
                                     function.getResultTypes()));
  return success();
}

namespace {
struct Expand : lfmc::impl::ExpandBase<Expand> {
  void runOnOperation() override {
    if (failed(expandToLinalg(getOperation())))
      signalPassFailure();
  }
};
} // namespace
