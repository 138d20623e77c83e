// SPDX-License-Identifier: Apache-2.0
//
// Quantized weight panels, as linear_q and embed_q read them.
//
// A weight is s[r][k / block] * (code - offset) (+ m[r][k / block] for q4m);
// the codes and offsets: q8 -127 to 127, 0; q6 0 to 63, 32; q4 0 to 15, 8; q4m
// 0 to 15, 0. A panel of `rows` rows and k_total columns is one stream of
// blocks; a block of `block` columns is first `rows` f16 scales, for q4m `rows`
// f16 minima, then the codes:
//   q4, q4m  [block / (2 depth)][rows][depth] bytes; byte (g, r, j) holds
//   column
//            2 depth g + j in its low nibble, 2 depth g + depth + j in the high
//            one
//   q6       the low four bits of the codes as q4, then the high two:
//            [block / (4 depth)][rows][depth] bytes; byte (g, r, j) holds
//            column depth (4 g + i) + j in its bits 2 i and 2 i + 1
//   q8       [block / depth][rows][depth] bytes; "raised": codes + 128, of
//            scales that are not negative (offset 128)
// Panels follow each other without gaps.
//
// And the parameters of linear_q (LinearQ.cpp), for every backend.
#ifndef LFMC_CODEGEN_HALIDE_QUANTIZEDLAYOUT_H
#define LFMC_CODEGEN_HALIDE_QUANTIZEDLAYOUT_H

#include "codegen/halide/Params.h"

namespace lfmc::halide {

/// Columns that share a scale and an exact integer sum in a quantized row of
/// activations. Weight blocks are multiples of it.
inline constexpr int activationBlock = 32;

/// Where a panel's scales and codes are.
struct QuantizedLayout {
  int wtype, block, rows, depth, panels, k, kTotal; // kTotal, k: columns
  bool raised;

  /// Reads "wtype", "block", "rows", "depth", "raised" and, if `totals`,
  /// "panels" and "k_total"; `kName` names the parameter that counts the
  /// columns of the call. Throws ParameterError.
  QuantizedLayout(const Params &params, const char *kName, bool totals);

  bool isQ8() const { return wtype == 3; }
  bool isQ6() const { return wtype == 5; }
  bool hasMinimum() const { return wtype == 6; }
  int offset() const { return raised ? 128 : isQ6() ? 32 : wtype == 4 ? 8 : 0; }
  int codesStart() const { return rows * (hasMinimum() ? 4 : 2); }
  /// Where the high bits of q6 start.
  int topStart() const { return codesStart() + rows * block / 2; }
  int blockBytes() const {
    return codesStart() + rows * block * (isQ8() ? 8 : isQ6() ? 6 : 4) / 8;
  }
  /// Bytes of 32 columns' low codes and of their high bits (q6).
  int64_t lowBytes() const { return int64_t(rows) * (isQ8() ? 32 : 16); }
  int64_t topBytes() const { return int64_t(rows) * 8; }
  int panelBytes() const { return kTotal / block * blockBytes(); }
};

/// The other parameters of linear_q: tokens, strides, what is done to the sums.
struct LinearQShape {
  int tokens, xStride; // xStride: bytes
  int out, columns;    // of y: of a panel and of all
  int yStride, resStride;
  bool residual, swiglu, bias;
  /// Rows that are computed together: a panel made for wider vectors takes
  /// several passes. Divides the panel's rows.
  int tileRows;
  bool quads; // x in quads of four tokens (codegen/llvm/micro/ArmTile.h)
  bool outer; // x in sixteens of tokens (codegen/llvm/micro/Sixteens.cpp)
  int group;  // columns that share a scale, of x and of rewritten weights
              // (codegen/llvm/micro/WideTile.cpp); 0: blocks as stored
  bool pairs; // products added up in 16 bits; with a group codes of x are
              // raised by 128 (codegen/llvm/micro/PairTile.cpp, PairBlocks.cpp)
  int prefetch; // bytes ahead; 0: none
  int lanes;    // rows of a vector where VNNI multiplies
                // (codegen/llvm/micro/DotTile.cpp); 0: the target's own way

  /// Throws ParameterError.
  LinearQShape(const Params &params, const QuantizedLayout &layout);
};

} // namespace lfmc::halide

#endif // LFMC_CODEGEN_HALIDE_QUANTIZEDLAYOUT_H
