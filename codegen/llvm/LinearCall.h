// SPDX-License-Identifier: Apache-2.0
//
// A call of the microkernel of a linear (linear or linear_q), shared by the
// macro kernels that multiply by stored matrices. Private to codegen/llvm.
#ifndef LFMC_CODEGEN_LLVM_LINEARCALL_H
#define LFMC_CODEGEN_LLVM_LINEARCALL_H

#include "codegen/llvm/MacroBuilder.h"

namespace lfmc {

/// A matrix and the layout of its panels, from a declaration's parameters
/// (rows, k, depth, wtype, xtype, dot, quads, outer, raised, tile_rows, block,
/// block_bytes, swiglu, prefetch, group, lanes, wide_lanes, wide_rows, pairs).
class LinearCall {
public:
  explicit LinearCall(const DeclParams &params);

  const int64_t rows, k, depth, wtype, xtype, tileRows, block, blockBytes;
  /// Columns that share a scale when many tokens are multiplied by rewritten
  /// weights; 0: they never are.
  const int64_t group;
  /// Rows of a vector of VNNI's products, with weights as stored and rewritten;
  /// 0: the target's own way.
  const int64_t lanes, wideLanes;
  /// Rows of the tile of rewritten weights; 0: tileRows.
  const int64_t wideRows;
  const bool swiglu, dot, quads, raised;
  /// Of those many tokens, sixteens lie together (Sixteens.cpp), then quads.
  const bool outer;
  /// Rewritten for products in 16 bits (micro/PairPanel.cpp).
  const bool pairs;
  /// Bytes ahead of the weights; unset: the microkernel's own.
  const std::optional<int64_t> prefetch;

  /// Columns of y that a panel gives.
  int64_t columns() const { return swiglu ? rows / 2 : rows; }
  int64_t panelBytes() const;
  /// Bytes of a value of x that is not quantized.
  int64_t xBytes() const { return xtype == 0 ? 4 : 2; }
  /// Bytes of a row of x with `width` columns: f32, bf16, or lfm2.quantized.
  int64_t rowBytes(int64_t width) const {
    return block ? width + width / 4 : width * xBytes();
  }

  /// A piece of a row in memory.
  struct Part {
    mlir::Value address;
    int64_t bytes;
  };
  /// Columns [first, first + count) of a row of `width` columns at `row`: in
  /// one part; codes, scales and sums of a quantized row, of which `shared`
  /// columns have one.
  llvm::SmallVector<Part> parts(MacroBuilder &m, mlir::Value row, int64_t width,
                                mlir::Value first, int64_t count,
                                int64_t shared = 32) const;

  /// What a call works on. Strides count values between tokens; with one token
  /// they mean nothing.
  struct Operands {
    mlir::Value x;         ///< the first token's row, all columns
    mlir::Value w;         ///< the first panel, all columns
    mlir::Value y;         ///< of the first panel
    mlir::Value bias, res; ///< the same, or null
    int64_t tokens = 1;
    int64_t panels = 1;        ///< side by side
    int64_t k0 = 0, count = 0; ///< columns [k0, k0 + count)
    int64_t xStride = 0;       ///< rows that are not quantized
    int64_t yStride = 0, resStride = 0;
    /// Of x: more columns than k's, of which those from `column` count.
    int64_t width = 0;
    mlir::Value column;
    mlir::Value wide;     ///< columns [k0, k0 + count) of w, rewritten, or null
                          ///< (of x that is not grouped: in pairs, unpacked)
    bool grouped = false; ///< x has scales of `group` columns
    bool outer = false;   ///< x lies in sixteens
  };
  void emit(MacroBuilder &m, const Operands &operands) const;

  /// Rewrites columns [k0, k0 + count) of the panel `w` to `to`, of
  /// wideBytes(count, grouped), for x that is `grouped` or not.
  void widen(MacroBuilder &m, mlir::Value w, int64_t k0, int64_t count,
             mlir::Value to, bool grouped) const;
  int64_t wideBytes(int64_t count, bool grouped) const;
};

/// Sizes of token tiles for a kernel whose largest is `most`, largest first.
llvm::SmallVector<int64_t> tileSizes(int64_t most);

} // namespace lfmc

#endif // LFMC_CODEGEN_LLVM_LINEARCALL_H
