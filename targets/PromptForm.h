// SPDX-License-Identifier: Apache-2.0
//
// The forms that weights and quantized rows take in steps of many tokens.
// Whoever writes rows asks for all that read them, and the other way round.
// Private to targets.
#ifndef LFMC_TARGETS_PROMPTFORM_H
#define LFMC_TARGETS_PROMPTFORM_H

#include "targets/KernelParams.h"

namespace lfmc {

int64_t panelRows(int64_t n, int64_t most, bool swiglu);

/// Rows of the panels that smmla reads: with four, sums of 2 x 2 fill half of
/// the registers.
inline constexpr int64_t matrixRows = 16;

/// Whether the quantized rows `x` of a prompt lie in quads: its linears then
/// multiply four tokens together, by smmla. All readers must be able to.
bool inQuads(mlir::Value x, const Target &target);

/// Tokens of a step from which it pays to rewrite weights.
inline constexpr int64_t wideFrom = 32;

/// Whether weights are rewritten for steps of several tokens and multiplied in
/// pairs of 16 bits (codegen/llvm/micro/PairPanel.cpp).
bool inPairs(const Target &target);
bool inPairs(lfm2::LinearOp linear, const Target &target);

/// Tokens of a step from which it pays to unpack weights for pairs, and tokens
/// whose sums the registers hold.
inline constexpr int64_t pairsFrom = 16;
int64_t pairTile(lfm2::StoredKind kind, const Target &target);

/// Columns that share a scale in the products of prompts, for which the weight
/// is rewritten (codegen/llvm/micro/WidePanel.cpp, PairPanel.cpp, ArmWide.cpp),
/// if rows of such scales are given; 0: never. q4 only: other formats are
/// chosen for their precision.
int64_t wideGroup(lfm2::LinearOp linear, const Target &target);

/// The group of the quantized rows `x` of a prompt: all readers must want it,
/// and on Arm take quads.
int64_t groupOf(mlir::Value x, const Target &target);

/// Whether long prompts' rows `x` are limited (codegen/halide/Quantize.cpp),
/// for weights of 8 bits in pairs.
bool limitedRows(mlir::Value x, const Target &target);

/// Whether long prompts' rows `x` lie in sixteens, and its linears multiply
/// panels of 16 rows by outer products (codegen/llvm/micro/ArmOuter.cpp).
bool inSixteens(mlir::Value x, const Target &target);

/// Columns of a panel that are rewritten at a time, in a buffer on the stack;
/// gates and ups need their whole sums.
int64_t wideColumns(int64_t k, int64_t group, bool swiglu);

} // namespace lfmc

#endif // LFMC_TARGETS_PROMPTFORM_H
