// SPDX-License-Identifier: Apache-2.0
#include "codegen/llvm/micro/HalfTile.h"

#include "llvm/IR/IntrinsicsAArch64.h"

#include <algorithm>

using namespace llvm;

namespace lfmc {

HalfTile HalfTile::choose(int64_t rows, int64_t vectors, int64_t run,
                          int64_t registers, bool even) {
  HalfTile best{1, 1, run};
  double bestRatio = 0;
  for (int64_t v = 1; v <= vectors; ++v)
    for (int64_t r = 1; r <= rows; ++r) {
      // A pair of f32 sums for each vector, and a sum in f16.
      const int64_t sums = r * v * (run ? 3 : 2);
      if (rows % r || vectors % v || (even && v > 1 && v % 2) ||
          sums + r + v + 1 > registers)
        continue;
      // Vectors are loaded in pairs, factors of a row for eight steps. Fewer
      // than 16 chains (8 in f16) leave multipliers waiting.
      const double chains = run ? r * v / 8.0 : r * v * 2 / 16.0;
      const double ratio = double(r * v) / (double((v + 1) / 2) + r / 8.0) *
                           std::min(1.0, chains);
      if (ratio > bestRatio) {
        best = {r, v, run};
        bestRatio = ratio;
      }
    }
  return best;
}

namespace {

class Accumulator {
public:
  Accumulator(MicroWriter &writer, const HalfTile &tile,
              const HalfFactors &factors)
      : w(writer), b(w.b), tile(tile), f(factors),
        halves(w.vector(b.getHalfTy(), 8)), floats(w.vector(w.f32(), 4)) {}

  /// Adds steps [index, index + count), count 1 or a multiple of 8, to sums in
  /// f32 or, in a run, to those in f16; null is 0.
  void add(Value *index, int64_t count, Values &sums);
  /// Adds sums in f16.
  void widen(Values &sums, ArrayRef<Value *> parts);
  void ask(Value *index, int64_t count);
  Values noParts(Value *start) const {
    return Values(tile.rows * tile.vectors, start);
  }
  Constant *zero() const { return Constant::getNullValue(halves); }

private:
  Value *left(Value *index, int64_t row, int64_t step, bool alone);
  void multiply(Values &sums, Value *right, Value *left, int64_t i);

  MicroWriter &w;
  IRBuilder<> &b;
  const HalfTile &tile;
  const HalfFactors &f;
  FixedVectorType *halves, *floats;
};

/// Eight steps' factors of a row, or one in all elements.
Value *Accumulator::left(Value *index, int64_t row, int64_t step, bool alone) {
  Value *from = w.at(w.at(f.left, row * f.leftStride + step * 2), index, 2);
  return alone ? b.CreateVectorSplat(8, w.load(b.getHalfTy(), from))
               : w.load(halves, from);
}

void Accumulator::multiply(Values &sums, Value *right, Value *left, int64_t i) {
  if (tile.run) {
    sums[i] = sums[i] ? w.fma(right, left, sums[i]) : b.CreateFMul(right, left);
    return;
  }
  for (int half : {0, 1}) {
    Value *&sum = sums[i * 2 + half];
    sum = b.CreateIntrinsic(half ? Intrinsic::aarch64_neon_fmlal2
                                 : Intrinsic::aarch64_neon_fmlal,
                            {floats, halves}, {sum, right, left});
  }
}

void Accumulator::widen(Values &sums, ArrayRef<Value *> parts) {
  for (auto [i, part] : enumerate(parts))
    for (int half : {0, 1}) {
      Value *&sum = sums[i * 2 + half];
      sum = b.CreateFAdd(sum, b.CreateFPExt(w.part(part, half * 4, 4), floats));
    }
}

void Accumulator::add(Value *index, int64_t count, Values &sums) {
  Values lefts(tile.rows);
  for (int64_t step = 0; step < count; ++step) {
    if (step % 8 == 0)
      for (int64_t r = 0; r < tile.rows; ++r)
        lefts[r] = left(index, r, step, count == 1);
    Value *rights =
        w.at(w.at(f.right, step * f.rightStride), index, f.rightStride);
    SmallVector<int> lane(8, int(step % 8));
    for (int64_t v = 0; v < tile.vectors; ++v) {
      Value *right = w.load(halves, w.at(rights, f.at[v]));
      for (int64_t r = 0; r < tile.rows; ++r)
        multiply(sums, right, b.CreateShuffleVector(lefts[r], lane),
                 r * tile.vectors + v);
    }
  }
}

void Accumulator::ask(Value *index, int64_t count) {
  constexpr int64_t line = 64;
  Value *from = w.at(f.ahead, index, f.aheadPerStep);
  const int64_t bytes = count * f.aheadPerStep;
  for (int64_t at = 0; at == 0 || at + line <= bytes; at += line)
    w.prefetch(w.at(from, at));
}

} // namespace

Values accumulate(MicroWriter &w, const HalfTile &tile,
                  const HalfFactors &factors, Value *count, Values sums) {
  IRBuilder<> &b = w.b;
  Accumulator accumulator(w, tile, factors);
  const int64_t together = tile.stepsTogether();
  Value *whole = b.CreateSub(count, b.CreateURem(count, w.index(together)));
  sums = w.loopIfAny(w.index(0), whole, together, sums,
                     [&](Value *index, Values carried) {
                       if (factors.ahead)
                         accumulator.ask(index, together);
                       if (!tile.run) {
                         accumulator.add(index, together, carried);
                         return carried;
                       }
                       Values parts = accumulator.noParts(nullptr);
                       accumulator.add(index, together, parts);
                       accumulator.widen(carried, parts);
                       return carried;
                     });
  if (whole == count) // both known
    return sums;
  // The rest of a run is rounded as if zeros followed.
  auto one = [&](Value *index, Values carried) {
    accumulator.add(index, 1, carried);
    return carried;
  };
  if (!tile.run)
    return w.loopIfAny(whole, count, 1, sums, one);
  Values parts = accumulator.noParts(accumulator.zero());
  accumulator.widen(sums, w.loopIfAny(whole, count, 1, parts, one));
  return sums;
}

} // namespace lfmc
