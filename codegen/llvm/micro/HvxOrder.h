// SPDX-License-Identifier: Apache-2.0
//
// In which order HvxTile.cpp writes the operations of a block of columns.
// Private to codegen/llvm/micro.
#ifndef LFMC_CODEGEN_LLVM_MICRO_HVXORDER_H
#define LFMC_CODEGEN_LLVM_MICRO_HVXORDER_H

#include "codegen/halide/QuantizedLayout.h"
#include "codegen/llvm/micro/Schedule.h"

namespace lfmc {

/// When a block's operations are written, in groups of columns multiplied so
/// far. LLVM's scheduler reorders them, but decides by this order among equals:
/// the numbers are those of the fewest packets, of some hundred tried.
struct HvxOrder {
  double start, startStep;     ///< first sums, of the first and each next token
  double factor;               ///< X
  double ahead;                ///< codes, before they are multiplied
  double tokenStep;            ///< products, from one token to the next
  double scales;               ///< what the block's scales become
  double pending, pendingStep; ///< sums of the block before
};
// q8, k of 256 to 4608, v66: 60 to 63 packets a block of four tokens, 30 of two
// and 18 of one; others up to 69, 34 and 22.
inline constexpr HvxOrder ofFour = {-0.6, 0.4, -2.9, 1.1, 0.5, 2.7, -0.4, 0.7};
inline constexpr HvxOrder ofTwo = {-0.4, 0.4, -2, 2.6, 0.8, 1.2, 0.6, 0.7};
inline constexpr HvxOrder ofOne = {-1, 0, -1, 0, 0, -0.5, -0.2, 1};
// Where unpacking takes the registers: k of 1024, four tokens and one, 100 and
// 67 packets of q6, 95 of four tokens of q4m.
inline constexpr HvxOrder ofSixBits = {-1, 0, -1, 0, 0, 9, -0.2, 1};
inline constexpr HvxOrder ofMinima = {-1, 0, -1, 0, 0, 9, -1, 0};

inline const HvxOrder &hvxOrder(const halide::QuantizedLayout &layout,
                                int64_t tokens) {
  return layout.isQ6()         ? ofSixBits
         : tokens == 1         ? ofOne
         : layout.hasMinimum() ? ofMinima
         : tokens == 2         ? ofTwo
                               : ofFour;
}

} // namespace lfmc

#endif // LFMC_CODEGEN_LLVM_MICRO_HVXORDER_H
