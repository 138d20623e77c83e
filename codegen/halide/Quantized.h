// SPDX-License-Identifier: Apache-2.0
//
// Views of quantized weight panels (QuantizedLayout.h), as linear_q and embed_q
// read them. Private to codegen/halide.
#ifndef LFMC_CODEGEN_HALIDE_QUANTIZED_H
#define LFMC_CODEGEN_HALIDE_QUANTIZED_H

#include "codegen/halide/Family.h"
#include "codegen/halide/QuantizedLayout.h"

namespace lfmc::halide {

/// The layout, and the views of the same memory.
struct QuantizedPanels : QuantizedLayout {
  Halide::ImageParam codes;  // argument "w": u8 (j, r, group, block, panel)
  Halide::ImageParam top;    // q6: the high bits, in the same way
  Halide::ImageParam scales; // f16 (r, block, panel), then the minima

  QuantizedPanels(const Params &params, const char *kName, bool totals);

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
