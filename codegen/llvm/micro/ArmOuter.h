// SPDX-License-Identifier: Apache-2.0
//
// linear_q by outer products (SME). Private to codegen/llvm/micro.
#ifndef LFMC_CODEGEN_LLVM_MICRO_ARMOUTER_H
#define LFMC_CODEGEN_LLVM_MICRO_ARMOUTER_H

#include "codegen/llvm/micro/ArmTile.h"

namespace lfmc {

/// Rows of a panel, and tokens that lie together; four bytes of each are a
/// vector of 512 bits.
inline constexpr int64_t outerLanes = 16;
/// Sums of a panel's rows with a token, in i32 or f32.
inline constexpr int64_t outerTokenBytes = outerLanes * 4;

/// Whether so many tokens can be multiplied together: the registers for sums
/// take two sixteens.
inline bool outerTokens(int64_t tokens) {
  return tokens == outerLanes || (tokens > 0 && tokens % (2 * outerLanes) == 0);
}

/// What is multiplied in streaming mode.
struct OuterShape {
  int64_t panels;      ///< 1 or 2
  int64_t tokens;      ///< outerTokens()
  int64_t columns;     ///< of a group
  int64_t panelStride; ///< bytes from one panel's codes to the next's
  int64_t xStride;     ///< bytes from one sixteen to the next
};

/// Integer sums of `count` groups, at least one, of `codes` ([panel][4 columns
/// each][16 rows][4]) and `x` ([sixteen][4 columns each][16 tokens][4]) to
/// `sums` ([group][panel][token][16 rows] of i32). Reads 64 bytes behind both.
/// Vectors may have any length. Depends on nothing and keeps the callers' ZA:
/// see the source.
void streamProducts(MicroWriter &w, const OuterShape &shape, llvm::Value *x,
                    llvm::Value *codes, llvm::Value *sums, llvm::Value *count);

/// linear_q of sixteens with "group", q4, panels of 16 rows.
void buildArmOuter(LinearQ &kernel);
/// The family `sixteens`: four quantized rows of k columns to their places
/// among sixteen.
void buildSixteens(llvm::Module &module, llvm::StringRef symbol, int64_t k,
                   int64_t group);

} // namespace lfmc

#endif // LFMC_CODEGEN_LLVM_MICRO_ARMOUTER_H
