// SPDX-License-Identifier: Apache-2.0
//
// The passes of lfmc: create functions and options, generated from Passes.td.
//
// A pass lives in one file, passes/<folder>/<Pass>.cpp, which defines
// GEN_PASS_DEF_<PASS>, includes Passes.h.inc and implements the class.
#ifndef LFMC_PASSES_PASSES_H
#define LFMC_PASSES_PASSES_H

#include "dialects/lfm2/Lfm2.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Pass/Pass.h"

namespace lfmc {

class Tuner;

#define GEN_PASS_DECL
#include "passes/Passes.h.inc"

/// lfmc-select-kernels with a tuner, which must outlive the pass; null: none.
std::unique_ptr<mlir::Pass>
createSelectKernels(const SelectKernelsOptions &options, const Tuner *tuner);

/// Registers every pass of Passes.td and the pipelines of Pipeline.h with
/// MLIR's global registry, for the command lines of lfmc-opt and lfmc-reduce.
/// Call it once per process.
void registerLfmcPasses();

} // namespace lfmc

#endif // LFMC_PASSES_PASSES_H
