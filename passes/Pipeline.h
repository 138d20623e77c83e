// SPDX-License-Identifier: Apache-2.0
//
// The pass pipelines of lfmc.
#ifndef LFMC_PASSES_PIPELINE_H
#define LFMC_PASSES_PIPELINE_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"

#include <string>

namespace mlir {
class OpPassManager;
} // namespace mlir

namespace lfmc {

class Tuner;

/// Adds the passes from freshly imported IR to IR ready for kernel selection.
/// Anchored on builtin.module; lfm2 dialect in, lfm2 dialect out. The program
/// computes the same numbers up to the order of f32 roundings, keeps its
/// functions, signatures and state symbols; weights may be stacked.
/// Registered as the pipeline `lfmc-graph`.
void buildGraphPipeline(mlir::OpPassManager &pm);

/// Adds what quantizes weights and the rows that meet them, between the two
/// pipelines. `schemes`: see the pass lfmc-quantize; empty: weights stay as
/// they are, quantized or not. `bf16Rows`: rows that meet bf16 weights are
/// rounded to bf16.
void buildQuantization(mlir::OpPassManager &pm,
                       llvm::ArrayRef<std::string> schemes,
                       bool bf16Rows = false);

/// Adds the passes from there to a planned program: the split of prompts,
/// kernels and layouts for `target` (a name of targets/Target.h), offsets,
/// buffers and phases.
/// `pinned`: weights have the layouts that another target's run has chosen.
/// Registered as the pipeline `lfmc-kernel` (target: the host). `tuner` must
/// outlive the pipeline; null: presets.
void buildKernelPipeline(mlir::OpPassManager &pm, llvm::StringRef target,
                         bool pinned = false, const Tuner *tuner = nullptr);

} // namespace lfmc

#endif // LFMC_PASSES_PIPELINE_H
