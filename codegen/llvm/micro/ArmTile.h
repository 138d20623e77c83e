// SPDX-License-Identifier: Apache-2.0
//
// linear_q for 64-bit Arm, vectors of 4 rows. Private to codegen/llvm/micro.
#ifndef LFMC_CODEGEN_LLVM_MICRO_ARMTILE_H
#define LFMC_CODEGEN_LLVM_MICRO_ARMTILE_H

#include "codegen/llvm/micro/LinearQ.h"

namespace lfmc {

/// What both kernels do with weights.
class ArmWeights {
public:
  explicit ArmWeights(LinearQ &kernel)
      : q(kernel), layout(kernel.layout), w(*kernel.writer), b(w.b),
        vectors(layout.rows / 4) {}

protected:
  /// What is known of a vector of four rows: bytes as stored and, after the
  /// stages of unpack(), codes of together() groups of four columns, each
  /// [row][4 columns], without the offset subtracted.
  struct Codes {
    Values low, codes;
    llvm::Value *top = nullptr; ///< q6: the high bits
  };
  static constexpr int stages = 3; ///< shifts, masks, insertions

  /// An instruction that stays where it is written among others of this kind
  /// and loads: $0 is its result and, if it `updates` a register, its first
  /// input; the others follow.
  llvm::Value *exactly(llvm::StringRef text, llvm::Type *type,
                       llvm::ArrayRef<llvm::Value *> inputs,
                       bool updates = false);
  /// Once, before any codes.
  void prepare();
  void unpack(Codes &codes, int stage);
  /// Groups of four columns of which codes() makes something at once.
  int together() const { return layout.isQ6() ? 4 : layout.isQ8() ? 1 : 2; }
  /// The codes of the groups [first, first + together()) of an activation block
  /// in rows [4 vector, + 4).
  Values codes(llvm::Value *low, llvm::Value *top, int first, int64_t vector);
  /// f32 scales of 4 rows; `pointer` to the f16 of the block's first row.
  llvm::Value *scales(llvm::Value *pointer, int64_t vector);
  /// Of a group of `columns` from `weights`, q4, for wideFactor().
  WideUnit unitOf(llvm::Value *weights, int64_t columns, int64_t vector);
  /// 16 codes by 16 factors of wideFactor(): (code * factor + 128) >> 8.
  llvm::Value *rescaled(llvm::Value *codes, llvm::Value *factors);
  /// Where the codes of activation block `part` of a weight block start, and
  /// the high bits.
  llvm::Value *low(llvm::Value *block, llvm::Value *part) {
    return w.at(w.at(block, layout.codesStart()), part, q.lowBytes());
  }
  llvm::Value *top(llvm::Value *block, llvm::Value *part) {
    return w.at(w.at(block, layout.topStart()), part, q.topBytes());
  }
  /// Zeros in `count` vectors.
  void clear(llvm::Value *memory, int64_t count);
  /// Writes y of quad `quad` in panel `panel`: `sums` are [row pair][token
  /// pair] of 2 x 2.
  void finishQuad(llvm::Value *sums, llvm::Value *quad, llvm::Value *panel);
  /// All panels, `most` of `total` pieces of their columns at a time: calls
  /// unpack(panel, first piece, count) once and then, for every four tokens,
  /// quad(x, first piece, count, sums); in the end writes y.
  void overSegments(
      int64_t total, int64_t most,
      llvm::function_ref<void(llvm::Value *, llvm::Value *, llvm::Value *)>
          unpack,
      llvm::function_ref<void(llvm::Value *, llvm::Value *, llvm::Value *,
                              llvm::Value *)>
          quad);
  llvm::Type *bytes() { return w.vector(b.getInt8Ty(), 16); }
  llvm::Type *words() { return w.vector(b.getInt32Ty(), 4); }
  llvm::Type *floats() { return w.vector(w.f32(), 4); }
  llvm::Value *shuffle(llvm::Value *x, llvm::Value *y,
                       llvm::ArrayRef<int> mask) {
    return b.CreateShuffleVector(x, y, mask);
  }
  /// Element `lane` in all.
  llvm::Value *splat(llvm::Value *vector, int lane) {
    return b.CreateShuffleVector(vector, {lane, lane, lane, lane});
  }

  LinearQ &q;
  const halide::QuantizedLayout &layout;
  MicroWriter &w;
  llvm::IRBuilder<> &b;
  const int64_t vectors;

private:
  llvm::Value *nibble = nullptr, *twos = nullptr; ///< masks: 0x0f, 0x33
};

/// By sdot; any number of tokens, rows in fours.
void buildArmDot(LinearQ &kernel);
/// By smmla; tokens in fours that lie in quads (Quads.cpp).
void buildArmMatrix(LinearQ &kernel);
/// The same with one scale for a group of columns; q4.
void buildArmWide(LinearQ &kernel);
/// The family `quads`: four quantized rows of k columns to a quad.
void buildQuads(llvm::Module &module, llvm::StringRef symbol, int64_t k,
                int64_t group);

/// A quad has the bytes of its four rows. Of each activation block it holds the
/// codes [pair of tokens][4 steps][2 tokens][8 columns], then the four scales,
/// then the four sums, each times its scale, in f32; with a group those of the
/// group. Steps are of columns 0 to
/// 3 and 8 to 11, 4 to 7 and 12 to 15, then the same of the last 16: where two
/// codes of weights are in a byte, they are together so.
inline constexpr int64_t quadBlockBytes = 160, quadScales = 128, quadSums = 144;

} // namespace lfmc

#endif // LFMC_CODEGEN_LLVM_MICRO_ARMTILE_H
