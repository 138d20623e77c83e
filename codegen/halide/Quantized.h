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
//   q8       [block / depth][rows][depth] bytes
// Panels follow each other without gaps. Private to codegen/halide.
#ifndef LFMC_CODEGEN_HALIDE_QUANTIZED_H
#define LFMC_CODEGEN_HALIDE_QUANTIZED_H

#include "codegen/halide/Family.h"

namespace lfmc::halide {

/// Columns that share a scale and an exact integer sum in a quantized row of
/// activations. Weight blocks are multiples of it.
inline constexpr int activationBlock = 32;

/// The layout, and the views of the same memory.
struct QuantizedPanels {
  int wtype, block, rows, depth, panels, k, kTotal; // kTotal, k: columns
  Halide::ImageParam codes;  // argument "w": u8 (j, r, group, block, panel)
  Halide::ImageParam top;    // q6: the high bits, in the same way
  Halide::ImageParam scales; // f16 (r, block, panel), then the minima

  /// Reads "wtype", "block", "rows", "depth"; `kName` names the parameter that
  /// counts the columns of the call.
  QuantizedPanels(const Params &params, const char *kName, bool totals);

  bool isQ8() const { return wtype == 3; }
  bool isQ6() const { return wtype == 5; }
  bool hasMinimum() const { return wtype == 6; }
  int offset() const { return isQ6() ? 32 : wtype == 4 ? 8 : 0; }
  int codesStart() const { return rows * (hasMinimum() ? 4 : 2); }
  int blockBytes() const {
    return codesStart() + rows * block * (isQ8() ? 8 : isQ6() ? 6 : 4) / 8;
  }
  int panelBytes() const { return kTotal / block * blockBytes(); }

  /// What is stored of the code in columns [depth * i, depth * (i + 1)) of the
  /// activation block `s`, at row r and column j of those: q8 the byte, else
  /// the low four bits.
  Halide::Expr low(Halide::Expr j, Halide::Expr r, Halide::Expr i,
                   Halide::Expr s, Halide::Expr panel) const;
  /// q6: the two bits above them.
  Halide::Expr high(Halide::Expr j, Halide::Expr r, Halide::Expr i,
                    Halide::Expr s, Halide::Expr panel) const;
  /// The scale of row r in activation block `s`, in f32; q4m: the minimum.
  Halide::Expr scale(Halide::Expr r, Halide::Expr s, Halide::Expr panel) const;
  Halide::Expr minimum(Halide::Expr r, Halide::Expr s,
                       Halide::Expr panel) const;
  /// The views that are no arguments of their own.
  std::vector<Alias> aliases() const;
};

} // namespace lfmc::halide

#endif // LFMC_CODEGEN_HALIDE_QUANTIZED_H
