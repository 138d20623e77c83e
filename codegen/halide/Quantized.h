// SPDX-License-Identifier: Apache-2.0
//
// Quantized weight panels, as linear_q and embed_q read them.
//
// A weight is s[r][k / block] * (code - offset): q4 has codes 0 to 15 and
// offset 8, q8 has codes -127 to 127 and offset 0. A panel of `rows` rows and
// k_total columns is one stream of blocks; a block of `block` columns is first
// `rows` f16 scales, then the codes:
//   q4  [block / (2 depth)][rows][depth] bytes; byte (g, r, j) holds column
//       2 depth g + j in its low nibble, 2 depth g + depth + j in the high one
//   q8  [block / depth][rows][depth] bytes
// Panels follow each other without gaps. Private to codegen/halide.
#ifndef LFMC_CODEGEN_HALIDE_QUANTIZED_H
#define LFMC_CODEGEN_HALIDE_QUANTIZED_H

#include "codegen/halide/Family.h"

namespace lfmc::halide {

/// Columns that share a scale and an exact integer sum in a quantized row of
/// activations. Weight blocks are multiples of it.
inline constexpr int activationBlock = 32;

/// The layout, and both views of the same memory.
struct QuantizedPanels {
  int wtype, block, rows, depth, panels, k, kTotal; // kTotal, k: columns
  Halide::ImageParam codes;  // argument "w": u8 (j, r, group, block, panel)
  Halide::ImageParam scales; // an alias of it: f16 (r, block, panel)

  /// Reads "wtype", "block", "rows", "depth"; `kName` names the parameter that
  /// counts the columns of the call.
  QuantizedPanels(const Params &params, const char *kName, bool totals);

  bool isQ4() const { return wtype == 4; }
  int blockBytes() const { return rows * 2 + rows * block / (isQ4() ? 2 : 1); }
  int panelBytes() const { return kTotal / block * blockBytes(); }

  /// The stored byte of columns [depth * i, depth * (i + 1)) of the activation
  /// block `s`, at row r and column j of those. For q4, i and i ^ 1 share it.
  Halide::Expr byte(Halide::Expr j, Halide::Expr r, Halide::Expr i,
                    Halide::Expr s, Halide::Expr panel) const;
  /// The scale of row r in activation block `s`, in f32.
  Halide::Expr scale(Halide::Expr r, Halide::Expr s, Halide::Expr panel) const;
};

} // namespace lfmc::halide

#endif // LFMC_CODEGEN_HALIDE_QUANTIZED_H
