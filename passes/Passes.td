// SPDX-License-Identifier: Apache-2.0
//
// Every pass of lfmc, by folder; inside a folder in the order of the pipeline.
// A description states what holds before and after, and ends in the lit test
// that shows the pass at work (tests/house checks that the file is there; the
// documentation target prints it).
#ifndef LFMC_PASSES_PASSES_TD
#define LFMC_PASSES_PASSES_TD

include "mlir/Pass/PassBase.td"

//===----------------------------------------------------------------------===//
// fuse
//===----------------------------------------------------------------------===//

def FuseNorm : Pass<"lfmc-fuse-norm", "::mlir::func::FuncOp"> {
  let summary = "move an rms_norm into the linear that is its only user";
  let description = [{
    `linear(rms_norm(x, g, eps), w)` becomes `linear(x, w) norm(g) {eps}`, so that
    the normalised row is never written to memory.

    Precondition: none. Postcondition: no `lfm2.rms_norm` over full rows has a
    norm-less linear as its only user, at operand x. A norm with several users
    stays: fused, it would be computed once per user.

    (* example filepath=tests/passes/fuse/norm/doctest.mlir *)
  }];
  let statistics = [Statistic<"numFused", "num-fused", "norms moved into a linear">];
  let dependentDialects = ["::lfmc::lfm2::Lfm2Dialect"];
}

#endif // LFMC_PASSES_PASSES_TD
