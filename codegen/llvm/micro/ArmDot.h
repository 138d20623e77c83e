// SPDX-License-Identifier: Apache-2.0
//
// The kernels of ArmDot.cpp: a loop over groups of four activation blocks. Each
// group is done in passes over some of the panel's rows, so that the integer
// sums of all tokens, their f32 sums, x and codes fit 32 registers. f32 sums
// that do not fit for all rows are in memory between passes. Private to
// codegen/llvm/micro.
#ifndef LFMC_CODEGEN_LLVM_MICRO_ARMDOT_H
#define LFMC_CODEGEN_LLVM_MICRO_ARMDOT_H

#include "codegen/llvm/micro/ArmOrder.h"
#include "codegen/llvm/micro/ArmTile.h"
#include "codegen/llvm/micro/Schedule.h"

#include <map>
#include <tuple>

namespace lfmc {

class ArmDot : ArmWeights {
public:
  explicit ArmDot(LinearQ &kernel)
      : ArmWeights(kernel), order(armOrder(kernel.layout, kernel.shape.tokens)),
        tokens(kernel.shape.tokens),
        rows(vectors % order.rows ? vectors : order.rows),
        inRegisters(tokens * vectors <= 8),
        byBlock(!inRegisters && tokens > 2 && tokens <= 4 &&
                (layout.offset() || layout.hasMinimum())) {}
  void build();

private:
  /// Of four activation blocks of a token, or of up to four tokens (byBlock):
  /// scales; what is multiplied by the rows' minima; sums to start from.
  struct Factors {
    llvm::Value *scale = nullptr, *sum = nullptr, *start = nullptr;
  };
  /// An activation block in one pass: where its weights are and what of them is
  /// loaded, the vectors of a kind in memory's order.
  struct Block {
    int64_t number, first; ///< first: vector of rows
    double time;
    int64_t scalesAt, lowAt, topAt;
    double multiplied; ///< when its last product is written
    Values low, top, scales, x, products, least;
    llvm::SmallVector<Codes> codes;
    llvm::SmallVector<llvm::Value *, 4> scale, minimum;
    Factors factors; ///< byBlock
  };
  /// Groups [quad, quad + order.groups) of four columns in some vectors of
  /// rows.
  struct Batch {
    int64_t quad, vector, vectors;
    double time;
  };
  Factors factors(llvm::Value *block, int64_t token, int64_t count);
  void transpose(int64_t count);
  llvm::Value *near(llvm::Value *base, int64_t offset);
  void pair(Values &into, llvm::Value *base, int64_t at, int64_t n);
  void codes(Schedule &schedule, Block &block, Batch batch);
  void start(Schedule &schedule, Block &block);
  void multiply(Schedule &schedule, Block &block, Batch batch);
  void rowScales(Schedule &schedule, Block &block);
  void scale(Schedule &schedule, Block &block, Values &sums, int64_t count);
  void group(Values &sums, llvm::Value *panel, llvm::Value *index,
             int64_t count);
  llvm::Value *perToken(llvm::Value *first, int64_t token) {
    return w.at(first, token * q.shape.xStride);
  }
  /// A token's factors of a block, and which lane of them.
  const Factors &of(const Block &block, int64_t token) const {
    return byBlock ? block.factors : all[token];
  }
  std::string lane(const Block &block, int64_t token) const {
    return ".s[" + std::to_string(byBlock ? token : block.number) + "]";
  }

  static constexpr int64_t factorBytes = 32; ///< in memory, of a block

  const ArmOrder &order;
  const int64_t tokens;
  const int64_t rows;     ///< vectors of them in a pass
  const bool inRegisters; ///< the f32 sums
  const bool byBlock;     ///< factors
  llvm::Value *sumMemory = nullptr, *factorMemory = nullptr;
  // Of the group that is written.
  llvm::SmallVector<Factors> all; ///< tokens
  bool single = false;
  llvm::Value *scaleBase = nullptr, *lowBase = nullptr, *topBase = nullptr,
              *index = nullptr;
  std::map<std::tuple<llvm::Value *, int64_t, int64_t>, llvm::Value *> anchors;
};

} // namespace lfmc

#endif // LFMC_CODEGEN_LLVM_MICRO_ARMDOT_H
