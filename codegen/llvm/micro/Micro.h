// SPDX-License-Identifier: Apache-2.0
//
// The second backend of microkernels: LLVM IR with target intrinsics, for
// instructions that Halide does not emit. Its kernels are members of Halide's
// families: same parameters, arguments, layouts and bits, so that either may
// compute a part of what the other does (MicroKernel.h, LinearQ.cpp there).
//
//   x86-64-v3-vnni  linear_q in whole vectors of 8 rows   DotTile.cpp
//   x86, VNNI       linear_q of rewritten weights, and what rewrites them
//                                                WideTile.cpp, WidePanel.cpp
//   x86, AVX2       the same without VNNI, and linear_q of unpacked weights
//                                PairTile.cpp, PairBlocks.cpp, PairPanel.cpp
//   x86-64-amx      linear_q, panels of 16 rows, 8 or 16 tokens or more in
//                   sixteens                              MatrixTile.cpp
//   hexagon-*       linear_q, panels of 32 or 64 rows     HvxTile.cpp,
//                                                         HvxRows.cpp
//                   the rest of Halide's kernels, as LLVM IR   HalideModule.cpp
//   arm64 + dotprod linear_q in whole vectors of 4 rows   ArmDot.cpp
//   arm64 + i8mm    linear_q of quads, and quads          ArmMatrix.cpp,
//                                                         ArmWide.cpp,
//                                                         Quads.cpp
//   arm64 + fhm or fp16   attention_block over f16        ArmAttention.cpp
//   arm64 + SME     linear_q of sixteens, and sixteens    ArmOuter.cpp,
//                                                         ArmStreaming.cpp,
//                                                         Sixteens.cpp
// All else is Halide's.
#ifndef LFMC_CODEGEN_LLVM_MICRO_MICRO_H
#define LFMC_CODEGEN_LLVM_MICRO_MICRO_H

#include "codegen/halide/MicroKernel.h"
#include "targets/Target.h"

#include "llvm/IR/Module.h"

namespace lfmc {

enum class MicroBackend {
  Halide,
  Dot,
  Wide,
  PairTile,
  PairBlocks,
  WidePanel,
  PairPanel,
  Matrix,
  ArmDot,
  ArmMatrix,
  ArmWide,
  ArmAttention,
  ArmOuter,
  Quads,
  Sixteens,
  Hvx
};

/// Who compiles `kernel` for `target`.
MicroBackend microBackend(const halide::MicroKernel &kernel,
                          const Target &target);

/// The module of a kernel that is not Halide's: one function `symbol`. An error
/// names the family and the parameter.
llvm::Expected<std::unique_ptr<llvm::Module>>
buildMicro(const halide::MicroKernel &kernel, const std::string &symbol,
           const Target &target, llvm::LLVMContext &context);

/// A kernel of Halide's as LLVM IR for our code generator: `symbol` and
/// internal functions.
llvm::Expected<std::unique_ptr<llvm::Module>>
halideModule(const halide::MicroKernel &kernel, const std::string &symbol,
             const Target &target, llvm::LLVMContext &context);

/// halide::emit with the backend that the target wants; instead of Halide's
/// statement, the LLVM backend writes LLVM IR. Thread-safe.
std::string emitMicro(const halide::MicroKernel &kernel,
                      const std::string &symbol, const Target &target,
                      halide::Emit what, const std::string &path);

} // namespace lfmc

#endif // LFMC_CODEGEN_LLVM_MICRO_MICRO_H
