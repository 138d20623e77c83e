// SPDX-License-Identifier: Apache-2.0
//
// Register tiles of products of f16 for 64-bit Arm. Private to
// codegen/llvm/micro.
#ifndef LFMC_CODEGEN_LLVM_MICRO_HALFTILE_H
#define LFMC_CODEGEN_LLVM_MICRO_HALFTILE_H

#include "codegen/llvm/micro/MicroWriter.h"

namespace lfmc {

/// Sums of `rows` rows and `vectors` vectors of 8 columns:
///   sum[r][c] += sum over i of left[r][i] * right[i][c]
/// left and right are f16, sums f32: <4 x float> [row][vector][half].
struct HalfTile {
  int64_t rows, vectors;
  /// 0: by fmlal (FEAT_FHM), products are added to the sums in f32. Otherwise
  /// products of so many steps (a multiple of 8) are added in f16 (FEAT_FP16).
  int64_t run;

  int64_t stepsTogether() const { return run ? run : 8; }
  /// Of the tiles that divide `rows` by `vectors` vectors and fit `registers`
  /// the one with most products a load. `even`: of one vector, or even ones.
  static HalfTile choose(int64_t rows, int64_t vectors, int64_t run,
                         int64_t registers, bool even);
};

/// Where the factors lie.
struct HalfFactors {
  llvm::Value *left;             ///< of the first row and step
  int64_t leftStride;            ///< bytes from row to row
  llvm::Value *right;            ///< of the first step
  llvm::SmallVector<int64_t> at; ///< bytes to each vector
  int64_t rightStride;           ///< bytes from step to step
  llvm::Value *ahead = nullptr;  ///< memory to ask for meanwhile
  int64_t aheadPerStep = 0;      ///< bytes of it
};

/// Adds steps [0, count) to `sums`.
Values accumulate(MicroWriter &w, const HalfTile &tile,
                  const HalfFactors &factors, llvm::Value *count, Values sums);

} // namespace lfmc

#endif // LFMC_CODEGEN_LLVM_MICRO_HALFTILE_H
