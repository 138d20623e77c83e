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
// q8: what a block of four tokens, two and one takes is 60, 30 and 17 packets
// at least. With all that the kernels of packages have, k of 256 to 8192: 60 to
// 65, 30 to 33 and 17 to 18 (docs/hexagon.md).
inline constexpr HvxOrder ofFour = {-1.59, -2.08, -8.09, 2.82,
                                    1.58,  9.21,  -0.71, 0.8};
inline constexpr HvxOrder ofTwo = {-1.07, 0.05,  -2.06, 2.44,
                                   0.8,   -1.09, 0.19,  0.64};
inline constexpr HvxOrder ofOne = {-1, 0, -1, 0, 0, -0.5, -0.2, 1};
// q4, 63 to 65 packets of four tokens, 33 of two.
inline constexpr HvxOrder ofFourNibbles = {-0.6, 0.4, -2.9, 1.1,
                                           0.5,  2.7, -0.4, 0.7};
inline constexpr HvxOrder ofTwoNibbles = {-0.4, 0.4, -2,  2.6,
                                          0.8,  1.2, 0.6, 0.7};
// Where unpacking takes the registers: k of 1024, four tokens and one, 92 and
// 65 packets of q6, 91 of four tokens of q4m.
inline constexpr HvxOrder ofSixBits = {-2.16, 0.61, -2.79, 0.63,
                                       0.36,  2,    0,     0.27};
inline constexpr HvxOrder ofMinima = {-1, 0, -1, 0, 0, 9, -1, 0};

inline const HvxOrder &hvxOrder(const halide::QuantizedLayout &layout,
                                int64_t tokens) {
  return layout.isQ6()         ? ofSixBits
         : tokens == 1         ? ofOne
         : layout.hasMinimum() ? ofMinima
         : layout.isQ8()       ? (tokens == 2 ? ofTwo : ofFour)
         : tokens == 2         ? ofTwoNibbles
                               : ofFourNibbles;
}

} // namespace lfmc

#endif // LFMC_CODEGEN_LLVM_MICRO_HVXORDER_H
