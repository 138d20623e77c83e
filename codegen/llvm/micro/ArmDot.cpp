// SPDX-License-Identifier: Apache-2.0
//
// linear_q by sdot: a vector of four rows times four columns of a token, which
// the instruction takes from a lane. Nothing is broadcast and no sum is added
// across lanes; the panel's rows share every load of activations. Scales and
// sums of four activation blocks are loaded at once.
#include "codegen/llvm/micro/ArmTile.h"

#include "llvm/IR/IntrinsicsAArch64.h"

using namespace llvm;

namespace lfmc {

Values ArmWeights::codes(Value *low, Value *top, int first, int64_t vector) {
  const int64_t step = int64_t(layout.rows) * 4;
  auto load = [&](Value *from, int64_t group) {
    return w.load(bytes(), w.at(from, group * step + vector * 16));
  };
  if (layout.isQ8())
    return {load(low, first), load(low, first + 1)};
  Value *both = load(low, first / 2), *four = w.all(bytes(), 4);
  Value *second = b.CreateLShr(both, four);
  if (!layout.isQ6())
    return {b.CreateAnd(both, w.all(bytes(), 15)), second};
  // Two bits of each of four groups in a byte: those of the even groups, and
  // those of the odd ones, at the lower ends of nibbles. The upper nibbles are
  // where their codes want them; the lower ones are shifted and inserted.
  Value *high = load(top, first / 4), *pairs = w.all(bytes(), 0x33);
  Value *even = b.CreateAnd(high, pairs);
  Value *odd = b.CreateAnd(b.CreateLShr(high, w.all(bytes(), 2)), pairs);
  auto insert = [&](Intrinsic::ID id, Value *into, Value *bits) {
    return b.CreateIntrinsic(id, {bytes()}, {into, bits, b.getInt32(4)});
  };
  Value *next = load(low, first / 2 + 1);
  const Intrinsic::ID left = Intrinsic::aarch64_neon_vsli;
  return {insert(left, both, even), insert(left, second, odd),
          b.CreateOr(b.CreateAnd(next, nibble),
                     b.CreateAnd(even, b.CreateNot(nibble))),
          insert(Intrinsic::aarch64_neon_vsri, odd, next)};
}

void ArmWeights::prepare() {
  if (!layout.isQ6())
    return;
  Value *memory = w.stack(16);
  w.store(w.all(bytes(), 15), memory);
  // Volatile, or the code generator knows the mask and makes three operations
  // of the one that selects bits.
  nibble = b.CreateAlignedLoad(bytes(), memory, Align(16), /*isVolatile=*/true);
}

Value *ArmWeights::scales(Value *pointer, int64_t vector) {
  return q.halves(w.at(pointer, vector * 8), 4);
}

namespace {

class ArmDot : ArmWeights {
public:
  explicit ArmDot(LinearQ &kernel)
      : ArmWeights(kernel), tokens(kernel.shape.tokens),
        inRegisters(tokens * vectors <= 8) {}
  void build();

private:
  /// Scales and sums of up to four activation blocks of a token.
  struct Factors {
    Value *scale, *sum, *start;
  };
  Factors factors(Value *block, int64_t token, int64_t count);
  void block(Values &sums, Value *weights, Value *part, Value *index,
             ArrayRef<Factors> factors, int lane);
  void group(Values &sums, Value *first, Value *index, int64_t blocks);
  Value *perToken(Value *first, int64_t token) {
    return w.at(first, token * q.shape.xStride);
  }

  const int64_t tokens;
  const bool inRegisters; ///< the f32 sums
  Value *sumMemory = nullptr;
};

ArmDot::Factors ArmDot::factors(Value *block, int64_t token, int64_t count) {
  Type *integer = count == 1 ? words() : words();
  auto load = [&](Type *vector, Value *from) -> Value * {
    Value *at = perToken(w.at(from, block, 4), token);
    if (count == 4)
      return w.load(vector, at);
    return b.CreateVectorSplat(4, w.load(vector->getScalarType(), at));
  };
  Factors f{load(floats(), q.xs), nullptr, nullptr};
  if (layout.offset() || layout.hasMinimum())
    f.sum = load(integer, q.xsum);
  if (layout.offset()) // a power of two
    f.start = b.CreateNeg(
        b.CreateShl(f.sum, w.all(integer, Log2_64(layout.offset()))));
  if (layout.hasMinimum())
    f.sum = b.CreateFMul(b.CreateSIToFP(f.sum, floats()), f.scale);
  return f;
}

/// Adds activation block `index`, part `part` of the block of weights.
void ArmDot::block(Values &sums, Value *weights, Value *part, Value *index,
                   ArrayRef<Factors> factors, int lane) {
  Values products, x;
  for (int64_t t = 0; t < tokens; ++t) {
    Value *codes = w.at(perToken(q.xq, t), index, 32);
    for (int half = 0; half < 2; ++half)
      x.push_back(w.load(words(), w.at(codes, half * 16)));
    for (int64_t v = 0; v < vectors; ++v)
      products.push_back(factors[t].start ? splat(factors[t].start, lane)
                                          : Constant::getNullValue(words()));
  }
  Value *lowest = low(weights, part), *highest = top(weights, part);
  for (int first = 0; first < 8; first += together())
    for (int64_t v = 0; v < vectors; ++v)
      for (auto [i, code] : enumerate(codes(lowest, highest, first, v)))
        for (int64_t t = 0; t < tokens; ++t) {
          Value *&sum = products[t * vectors + v];
          Value *four = splat(x[t * 2 + first / 4], first % 4 + int(i));
          sum = b.CreateIntrinsic(Intrinsic::aarch64_neon_sdot,
                                  {words(), bytes()},
                                  {sum, code, b.CreateBitCast(four, bytes())});
        }
  for (int64_t v = 0; v < vectors; ++v) {
    Value *scale = scales(weights, v);
    Value *minimum = layout.hasMinimum()
                         ? scales(w.at(weights, layout.rows * 2), v)
                         : nullptr;
    for (int64_t t = 0; t < tokens; ++t) {
      const int64_t i = t * vectors + v;
      Value *memory = inRegisters ? nullptr : w.at(sumMemory, i * 16);
      Value *sum = inRegisters ? sums[i] : w.load(floats(), memory);
      Value *term = b.CreateFMul(b.CreateSIToFP(products[i], floats()),
                                 splat(factors[t].scale, lane));
      sum = q.accumulate(sum, term, scale);
      if (minimum)
        sum = q.accumulate(sum, splat(factors[t].sum, lane), minimum);
      if (inRegisters)
        sums[i] = sum;
      else
        w.store(sum, memory);
    }
  }
}

/// `blocks` activation blocks (1 or 4) from `index` on.
void ArmDot::group(Values &sums, Value *first, Value *index, int64_t blocks) {
  SmallVector<Factors> all;
  for (int64_t t = 0; t < tokens; ++t)
    all.push_back(factors(index, t, blocks));
  for (int64_t i = 0; i < blocks; ++i) {
    Value *at = b.CreateAdd(index, b.getInt64(i));
    const int64_t perBlock = q.perBlock();
    Value *weights = w.at(first, b.CreateUDiv(at, b.getInt64(perBlock)),
                          layout.blockBytes());
    block(sums, weights, b.CreateURem(at, b.getInt64(perBlock)), at, all,
          blocks == 1 ? 0 : int(i));
  }
}

void ArmDot::build() {
  const halide::LinearQShape &shape = q.shape;
  const int64_t groups = q.blocks() / 4 * 4, all = tokens * vectors;
  prepare();
  // Of the orders of LLVM's models the one that spills least: 579 instructions
  // of four blocks of 16 rows, 635 without.
  if (layout.isQ6())
    b.GetInsertBlock()->getParent()->addFnAttr("tune-cpu", "cortex-a53");
  if (!inRegisters)
    sumMemory = w.stack(all * 16);
  w.loop(layout.panels, [&](Value *panel) {
    Value *first = w.at(q.weights, panel, layout.panelBytes());
    Values sums(inRegisters ? all : 0, Constant::getNullValue(floats()));
    if (!inRegisters)
      for (int64_t i = 0; i < all; ++i)
        w.store(Constant::getNullValue(floats()), w.at(sumMemory, i * 16));
    auto run = [&](int64_t from, int64_t to, int64_t step) {
      if (from < to)
        sums = w.loop(b.getInt64(from), b.getInt64(to), step, sums,
                      [&](Value *index, Values carried) {
                        group(carried, first, index, step);
                        return carried;
                      });
    };
    run(0, groups, 4);
    run(groups, q.blocks(), 1);
    for (int64_t t = 0; t < tokens; ++t) {
      Values parts;
      for (int64_t v = 0; v < vectors; ++v)
        parts.push_back(
            inRegisters
                ? sums[t * vectors + v]
                : w.load(floats(), w.at(sumMemory, (t * vectors + v) * 16)));
      q.finish(w.join(parts), panel,
               q.res ? w.at(q.res, t * shape.resStride * 4) : nullptr,
               w.at(q.y, t * shape.yStride * 4));
    }
  });
}

} // namespace

void buildArmDot(LinearQ &kernel) { ArmDot(kernel).build(); }

} // namespace lfmc
