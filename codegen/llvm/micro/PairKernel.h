// SPDX-License-Identifier: Apache-2.0
//
// What the kernels of products in pairs share: the f32 sums of a call's tokens,
// [token][row], which wait on the stack. Private to codegen/llvm/micro.
#ifndef LFMC_CODEGEN_LLVM_MICRO_PAIRKERNEL_H
#define LFMC_CODEGEN_LLVM_MICRO_PAIRKERNEL_H

#include "codegen/llvm/micro/LinearQ.h"

#include <fmt/format.h>

namespace lfmc {

class PairKernel {
protected:
  PairKernel(LinearQ &kernel, int64_t lanes)
      : q(kernel), w(*kernel.writer), b(w.b), lanes(lanes),
        vectors(q.shape.tileRows / lanes), tokens(q.shape.tokens),
        rows(q.layout.rows), integers(w.vector(b.getInt32Ty(), lanes)),
        floats(w.vector(w.f32(), lanes)) {}

  int64_t registers() const { return lanes == 16 ? 32 : 16; }
  std::string vector(int64_t number) const {
    return fmt::format("%{}mm{}", lanes == 16 ? 'z' : 'y', number);
  }
  /// The same as a constraint of inline assembly.
  std::string constraint(int64_t number) const {
    return fmt::format("{{{}}}", vector(number).substr(1));
  }
  /// The largest number up to `most` that divides `count`.
  static int64_t dividing(int64_t count, int64_t most) {
    while (count % most)
      --most;
    return most;
  }

  void startSums() {
    sumMemory = w.stack(tokens * rows * 4);
    if (q.res) // else waited for in the end
      for (int64_t t = 0; t < tokens; ++t)
        for (int64_t line = 0; line < rows * 4; line += 64)
          w.prefetch(w.at(q.res, t * q.shape.resStride * 4 + line));
    llvm::Type *all = w.vector(w.f32(), rows);
    w.loop(tokens, [&](llvm::Value *t) {
      w.store(llvm::Constant::getNullValue(all), sums(t, 0));
    });
  }
  llvm::Value *sums(llvm::Value *token, int64_t row) {
    return w.at(w.at(sumMemory, token, rows * 4), row * 4);
  }
  void finishSums() {
    llvm::Type *all = w.vector(w.f32(), rows);
    w.loop(tokens, [&](llvm::Value *t) {
      q.finish(w.load(all, sums(t, 0)), w.index(0),
               q.res ? w.at(q.res, t, q.shape.resStride * 4) : nullptr,
               w.at(q.y, t, q.shape.yStride * 4));
    });
  }

  LinearQ &q;
  MicroWriter &w;
  llvm::IRBuilder<> &b;
  const int64_t lanes, vectors, tokens, rows;
  llvm::Type *integers, *floats;

private:
  llvm::Value *sumMemory = nullptr;
};

} // namespace lfmc

#endif // LFMC_CODEGEN_LLVM_MICRO_PAIRKERNEL_H
