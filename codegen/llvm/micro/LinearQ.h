// SPDX-License-Identifier: Apache-2.0
//
// What the generators of linear_q share: parameters, buffers, how codes are
// unpacked and what happens to the finished sums. Private to
// codegen/llvm/micro.
#ifndef LFMC_CODEGEN_LLVM_MICRO_LINEARQ_H
#define LFMC_CODEGEN_LLVM_MICRO_LINEARQ_H

#include "codegen/halide/QuantizedLayout.h"
#include "codegen/llvm/micro/MicroWriter.h"

namespace lfmc {

/// `bytes` codes, not less their offset, of columns [4 group, 4 group + 4) of
/// an activation block, from byte `first` on: [row][4 columns], q8 as stored.
/// `low` points to the block's first codes, `top` to its high bits (q6).
llvm::Value *unpackCodes(MicroWriter &w, const halide::QuantizedLayout &layout,
                         llvm::Value *low, llvm::Value *top, int group,
                         int64_t first, int64_t bytes);

class LinearQ {
public:
  /// Throws halide::ParameterError.
  explicit LinearQ(const halide::Params &params);
  /// Starts the function.
  void begin(llvm::Module &module, llvm::StringRef symbol,
             int64_t pointerBytes);

  /// Activation blocks in all and in a block of weights.
  int blocks() const { return layout.k / halide::activationBlock; }
  int perBlock() const { return layout.block / halide::activationBlock; }

  /// unpackCodes() of these.
  llvm::Value *codes(llvm::Value *low, llvm::Value *top, int group,
                     int64_t first, int64_t bytes) {
    return unpackCodes(*writer, layout, low, top, group, first, bytes);
  }
  /// Bytes of an activation block's low codes and of its high bits.
  int64_t lowBytes() const { return layout.lowBytes(); }
  int64_t topBytes() const { return layout.topBytes(); }

  /// Scales of `count` rows in f32; `pointer` to their f16.
  llvm::Value *halves(llvm::Value *pointer, int64_t count);
  /// An f32 at `pointer`, in all elements of a vector.
  llvm::Value *broadcast(llvm::Value *pointer, int64_t lanes);

  /// sum + term * factor, rounded as the family rounds.
  llvm::Value *accumulate(llvm::Value *sum, llvm::Value *term,
                          llvm::Value *factor);

  /// Writes y of a token: `sums` is <rows x f32> of panel `panel`, res and y
  /// are those of the token's first panel.
  void finish(llvm::Value *sums, llvm::Value *panel, llvm::Value *res,
              llvm::Value *y);

  const halide::QuantizedLayout layout;
  const halide::LinearQShape shape;
  std::unique_ptr<MicroWriter> writer;
  llvm::Value *xq, *xs, *xsum, *weights, *bias, *res, *y;
};

/// linear_q by dot products of `lanes` rows; any number of tokens.
void buildDotTile(LinearQ &kernel, int64_t lanes);
/// Codes of a rewritten weight that make a step of the largest block in its
/// group; 8 steps stay below 128.
inline constexpr float wideCodesPerStep = 15;
/// Of rows whose blocks in a group have `scales`: the unit of the rewritten
/// codes, and 256 over it.
struct WideUnit {
  llvm::Value *unit, *inverse;
};
WideUnit wideUnit(MicroWriter &w, llvm::ArrayRef<llvm::Value *> scales);
/// scale * inverse, rounded, in the low 16 bits of 32: what 256 steps of a
/// block are in that unit.
llvm::Value *wideFactor(MicroWriter &w, llvm::Value *scale,
                        llvm::Value *inverse);
/// Throws halide::ParameterError unless weights can be rewritten: q4, whole
/// blocks in a group and groups in a row.
void checkWide(const halide::Params &params,
               const halide::QuantizedLayout &layout, int64_t group);
/// linear_q with "group": many tokens on panels of wide_panel's.
void buildWideTile(LinearQ &kernel, int64_t lanes);
/// The same with "pairs", lanes 8 or 16; and without "group".
void buildPairTile(LinearQ &kernel, int64_t lanes);
void buildPairBlocks(LinearQ &kernel, int64_t lanes);
/// Columns of a group, with "pairs", whose sums fit 32 bits.
inline constexpr int mostPairColumns = 256;
/// Bytes of a group of columns in such a panel, with or without "pairs".
inline int64_t widePanelBytes(int64_t rows, int64_t group, bool pairs) {
  return rows * (pairs ? group + group / 8 + 8 : group + 4);
}
/// And of 32 columns, with "pairs" and no "group".
inline int64_t pairBlockBytes(int64_t rows, bool minimum) {
  return rows * (minimum ? 40 : 36);
}
/// wide_panel(w, panel), parameters wtype, block, rows, depth, k, group,
/// lanes; the second with "pairs". Throws halide::ParameterError.
void buildWidePanel(llvm::Module &module, llvm::StringRef symbol,
                    const halide::Params &params, int64_t lanes, bool narrow);
void buildPairPanel(llvm::Module &module, llvm::StringRef symbol,
                    const halide::Params &params, int64_t lanes);
/// linear_q by AMX tiles; up to 16 tokens or a multiple of 16.
void buildMatrixTile(LinearQ &kernel);
/// linear_q by HVX, with `floats` or integers only; panels of 32 or 64 rows. To
/// be optimised.
void buildHvxTile(LinearQ &kernel, bool floats);

} // namespace lfmc

#endif // LFMC_CODEGEN_LLVM_MICRO_LINEARQ_H
