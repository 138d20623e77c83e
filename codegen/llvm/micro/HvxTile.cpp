// SPDX-License-Identifier: Apache-2.0
//
// linear_q by vrmpy of HVX: vectors of 32 rows times four columns of a token in
// a scalar register. Before v68 HVX has no floats, so a block's scales are
// applied in integers, too:
//
//   sum * scale * xs = sum * m * X * 2^(e + E + constant)
//
// m is the f16 scale's mantissa of 11 bits, shifted left as far as a block's
// largest sum leaves room, so that sum * m is exact below 2^30; X is xs as a
// fraction of the power of two above the token's largest, in 31 bits. The
// product's upper half is shifted right by what the scale's exponent lies below
// the largest of the row, which a first pass over the scales finds, and added
// up in 32 bits. One unit of them is 2^-24 or less of the largest possible sum.
// Codes of q8 are stored raised (QuantizedLayout.h), unsigned for vrmpy.
//
// Multiplications of words take both multipliers, vrmpy takes one, a packet has
// one load: a block's products are written amid the scaling of the block
// before, so that they share packets.
#include "codegen/llvm/micro/HvxOrder.h"
#include "codegen/llvm/micro/HvxRows.h"
#include "codegen/llvm/micro/LinearQ.h"

#include "llvm/IR/IntrinsicsHexagon.h"
#include "llvm/Support/MathExtras.h"

#include <numeric>

using namespace llvm;

namespace lfmc {
namespace {

constexpr int64_t lanes = 32, vectorBytes = 128;
constexpr int exponentMask = 0x7c00; ///< of an f16

class HvxTile {
public:
  HvxTile(LinearQ &kernel, bool floats)
      : q(kernel), layout(kernel.layout), shape(kernel.shape),
        w(*kernel.writer), b(w.b), vectors(layout.rows / lanes),
        tokens(shape.tokens), offset(layout.offset()), floats(floats),
        // |sum * m| < 2^30 with sums of 32 products by at most 127.
        room(layout.isQ8()         ? 0
             : layout.isQ6()       ? 2
             : layout.hasMinimum() ? 3
                                   : 4),
        // n sums of less than 0.985 * 2^30 fit if shifted by log2(n) - 1.
        terms(q.blocks() * (layout.hasMinimum() ? 2 : 1)),
        headroom(std::max<int>(0, int(Log2_32_Ceil(terms)) - 1)),
        order(hvxOrder(layout, tokens)),
        inMemory(tokens * vectors >= 6 || layout.isQ6()),
        alignment(std::gcd<int64_t>(layout.blockBytes(), vectorBytes)),
        words(w.vector(b.getInt32Ty(), lanes)),
        halves(w.vector(b.getInt16Ty(), 2 * lanes)),
        bytes(w.vector(b.getInt8Ty(), vectorBytes)) {}
  void build();

private:
  /// f16 scales of a block, one a half word.
  Value *scales(Value *block) {
    // A panel of 32 rows has half a vector of them; its codes fill the rest.
    return load(halves, block, std::gcd(alignment, layout.rows * 2));
  }
  Value *exponents(Value *scales) {
    return b.CreateAnd(scales, half(exponentMask));
  }
  Values parts(Value *scales);
  Value *codes(Value *low, Value *top, int group, int64_t vector);
  Value *minima(Value *block) { return w.at(block, layout.rows * 2); }
  void findLargest(Value *first);
  void block(Value *weights, Value *low, Value *top, Value *index);
  void addTerm(Value *integers, Value *part, Value *factor, AllocaInst *sum);
  void addPending(int64_t i);
  void fill(ArrayRef<AllocaInst *> all, Value *value) {
    for (AllocaInst *memory : all)
      b.CreateStore(value, memory);
  }
  void finish(Value *panel, int64_t token);
  Value *toFloat(Value *sum, Value *exponent);
  Value *load(Type *type, Value *pointer, int64_t align) {
    return b.CreateAlignedLoad(type, pointer, Align(align));
  }
  Value *perToken(Value *first, int64_t token) {
    return w.at(first, token * shape.xStride);
  }
  Value *splatWord(Value *value) {
    return w.intrinsic(Intrinsic::hexagon_V6_lvsplatw_128B, {value});
  }
  /// Two vectors of words: `low` in their lower halves, `high` in their upper.
  Value *zip(Value *high, Value *low) {
    return w.intrinsic(Intrinsic::hexagon_V6_vshuffvdd_128B,
                       {high, low, b.getInt32(-2)});
  }
  Constant *half(double value) { return w.all(halves, value); }
  Constant *word(double value) { return w.all(words, value); }
  AllocaInst *&sum(int64_t token, int64_t vector) {
    return sums[token * vectors + vector];
  }

  LinearQ &q;
  const halide::QuantizedLayout &layout;
  const halide::LinearQShape &shape;
  MicroWriter &w;
  IRBuilder<> &b;
  const int64_t vectors, tokens, offset;
  const bool floats; ///< in vectors
  const int room, terms, headroom;
  const HvxOrder &order;
  /// Sums of many tokens leave no registers for the block before.
  const bool inMemory;
  const int64_t alignment;
  FixedVectorType *words, *halves, *bytes;
  /// Of tokens and vectors: sums, and a block's to be scaled and added.
  SmallVector<AllocaInst *> sums, pending, pendingParts, pendingFactors;
  /// Of tokens: exponents of the largest xs, biased, and what makes xs X.
  SmallVector<AllocaInst *> xsTops, units;
  /// Of rows, exponents of an f16: the largest plus the headroom, and the least
  /// that counts; the first less one in its place in an f16.
  AllocaInst *rowTop, *rowLeast, *rowUnit;
  Value *factor = nullptr; ///< of the token to which pending sums belong
};

/// Of each vector of rows: mantissas in the upper half of words, how far sums
/// are shifted to the right in the lower.
Values HvxTile::parts(Value *scales) {
  Value *size =
      layout.raised ? scales : b.CreateAnd(scales, half(0x7fff), "size");
  auto ofRows = [&](AllocaInst *values) {
    return load(halves, values, vectorBytes);
  };
  // Below the least exponent mantissas are wrong, and all shifted out. (LLVM
  // would split umax, as a bound of the least is known, and repeat it here.)
  Value *exponent = b.CreateBitCast(
      w.intrinsic(Intrinsic::hexagon_V6_vmaxuh_128B,
                  {b.CreateLShr(size, half(10)), ofRows(rowLeast)}),
      halves);
  Value *below = b.CreateSub(ofRows(rowTop), exponent, "below");
  // size - ((exponent - 1) << 10)
  Value *mantissa = b.CreateBitCast(
      w.intrinsic(Intrinsic::hexagon_V6_vaslh_acc_128B,
                  {b.CreateSub(size, ofRows(rowUnit)), below, b.getInt32(10)}),
      halves);
  mantissa = b.CreateShl(mantissa, half(room), "mantissa");
  if (!layout.raised) {
    Value *sign = b.CreateAShr(scales, half(15));
    mantissa = b.CreateSub(b.CreateXor(mantissa, sign), sign);
  }
  Value *both = zip(mantissa, below);
  Values result;
  for (int64_t v = 0; v < vectors; ++v)
    result.push_back(w.part(both, v * lanes, lanes));
  return result;
}

/// Codes of four columns as unsigned bytes.
Value *HvxTile::codes(Value *low, Value *top, int group, int64_t vector) {
  const int64_t step = layout.rows * 4, first = vector * vectorBytes;
  auto bits = [&](Value *pointer, int64_t at, int shift, int mask) {
    Value *value = load(bytes, w.at(pointer, at), alignment);
    if (shift)
      value = b.CreateBitCast(
          b.CreateLShr(b.CreateBitCast(value, halves), half(shift)), bytes);
    return b.CreateAnd(value, w.all(bytes, mask));
  };
  if (layout.isQ8())
    return load(bytes, w.at(low, group * step + first), alignment);
  Value *value = bits(low, group / 2 * step + first, group % 2 * 4, 15);
  if (!layout.isQ6())
    return value;
  Value *high = bits(top, group / 4 * step + first, group % 4 * 2, 3);
  return b.CreateOr(value, b.CreateShl(high, w.all(bytes, 4)));
}

/// Multiplies activation block `index` and adds the one before to the sums.
void HvxTile::block(Value *weights, Value *low, Value *top, Value *index) {
  Value *xq = w.at(q.xq, index, 32), *xsum = w.at(q.xsum, index, 4);
  const int pairs = int(tokens * vectors);
  Values products(pairs), totals(tokens), factors(tokens), x(tokens), scale;
  SmallVector<Values> unpacked(8);
  Schedule schedule;
  for (int64_t t = 0; t < tokens; ++t) {
    schedule.add(order.start + order.startStep * double(t), [&, t] {
      Value *start = word(0);
      if (offset || layout.hasMinimum())
        totals[t] = load(b.getInt32Ty(), perToken(xsum, t), 4);
      if (offset)
        start = splatWord(b.CreateMul(totals[t], b.getInt32(-offset)));
      std::fill_n(&products[t * vectors], vectors, start);
    });
    schedule.add(order.factor, [&, t] {
      Value *xs = load(w.f32(), w.at(perToken(q.xs, t), index, 4), 4);
      Value *scaled = b.CreateFMul(xs, b.CreateLoad(w.f32(), units[t]));
      factors[t] = b.CreateFPToSI(scaled, b.getInt32Ty());
    });
  }
  for (int group = 0; group < 8; ++group) {
    schedule.add(group - order.ahead, [&, group] {
      for (int64_t v = 0; v < vectors; ++v)
        unpacked[group].push_back(codes(low, top, group, v));
    });
    for (int64_t t = 0; t < tokens; ++t)
      schedule.add(group + 0.5 + order.tokenStep * double(t), [&, group, t] {
        if (group % 2 == 0)
          x[t] = load(b.getInt64Ty(), w.at(perToken(xq, t), group * 4),
                      std::gcd<int64_t>(shape.xStride, 8));
        Value *four =
            b.CreateTrunc(group % 2 ? b.CreateLShr(x[t], b.getInt64(32)) : x[t],
                          b.getInt32Ty());
        for (int64_t v = 0; v < vectors; ++v) {
          Value *&product = products[t * vectors + v];
          product = w.intrinsic(Intrinsic::hexagon_V6_vrmpybus_acc_128B,
                                {product, unpacked[group][v], four});
        }
      });
  }
  schedule.add(order.scales, [&] { scale = parts(scales(weights)); });
  for (int i = 0; i < pairs; ++i)
    schedule.add(order.pending + i * order.pendingStep,
                 [&, i] { addPending(i); });
  schedule.run();
  if (layout.hasMinimum()) {
    Values minimum = parts(scales(minima(weights)));
    for (int64_t t = 0; t < tokens; ++t) {
      Value *total = splatWord(totals[t]), *factor = splatWord(factors[t]);
      for (int64_t v = 0; v < vectors; ++v)
        addTerm(total, minimum[v], factor, sum(t, v));
    }
  }
  for (int64_t i = 0; i < pairs; ++i)
    b.CreateStore(products[i], pending[i]);
  for (int64_t v = 0; v < vectors; ++v)
    b.CreateStore(scale[v], pendingParts[v]);
  for (int64_t t = 0; t < tokens; ++t)
    b.CreateStore(factors[t], pendingFactors[t]);
}

/// sum += integers * scale * factor
void HvxTile::addTerm(Value *integers, Value *part, Value *factor,
                      AllocaInst *sum) {
  Value *exact =
      w.intrinsic(Intrinsic::hexagon_V6_vmpyiowh_128B, {integers, part});
  Value *upper =
      w.intrinsic(Intrinsic::hexagon_V6_vmpyewuh_128B, {exact, factor});
  upper = w.intrinsic(Intrinsic::hexagon_V6_vmpyowh_sacc_128B,
                      {upper, exact, factor});
  upper = w.intrinsic(Intrinsic::hexagon_V6_vasrwv_128B, {upper, part});
  b.CreateStore(b.CreateAdd(b.CreateLoad(words, sum, inMemory), upper), sum,
                inMemory);
}

/// Adds a token's and vector's product of the block before.
void HvxTile::addPending(int64_t i) {
  const int64_t t = i / vectors, v = i % vectors;
  if (v == 0)
    factor = splatWord(b.CreateLoad(b.getInt32Ty(), pendingFactors[t]));
  addTerm(b.CreateLoad(words, pending[i]), b.CreateLoad(words, pendingParts[v]),
          factor, sum(t, v));
}

/// Largest exponents of the rows' scales and of the tokens'.
void HvxTile::findLargest(Value *first) {
  b.CreateStore(half(0x400), rowTop);
  fill(xsTops, b.getInt32(31 << 23));
  w.loop(layout.k / layout.block, [&](Value *index) {
    Value *weights = w.at(first, index, layout.blockBytes());
    Value *exponent = exponents(scales(weights));
    if (layout.hasMinimum())
      exponent = b.CreateBinaryIntrinsic(Intrinsic::umax, exponent,
                                         exponents(scales(minima(weights))));
    b.CreateStore(b.CreateBinaryIntrinsic(Intrinsic::umax, exponent,
                                          b.CreateLoad(halves, rowTop)),
                  rowTop);
    for (int64_t t = 0; t < tokens; ++t)
      for (int64_t part = 0; part < q.perBlock(); ++part) {
        Value *xs =
            w.at(w.at(perToken(q.xs, t), index, q.perBlock() * 4), part * 4);
        b.CreateStore(b.CreateBinaryIntrinsic(
                          Intrinsic::smax, load(b.getInt32Ty(), xs, 4),
                          b.CreateLoad(b.getInt32Ty(), xsTops[t])),
                      xsTops[t]);
      }
  });
  // Sums that would be shifted by more than 31 are shifted by 31.
  Value *exponent = b.CreateLoad(halves, rowTop);
  Value *lower = b.CreateBinaryIntrinsic(Intrinsic::usub_sat, exponent,
                                         half((31 - headroom) << 10));
  lower = b.CreateBinaryIntrinsic(Intrinsic::umax, lower, half(0x400));
  b.CreateStore(b.CreateLShr(lower, half(10)), rowLeast);
  b.CreateStore(b.CreateAdd(exponent, half((headroom - 1) * 0x400)), rowUnit);
  exponent = b.CreateLShr(exponent, half(10));
  b.CreateStore(b.CreateAdd(exponent, half(headroom)), rowTop);
  for (int64_t t = 0; t < tokens; ++t) {
    // 2^30 for xs in [2^E, 2^(E + 1)).
    Value *biased =
        b.CreateLShr(b.CreateLoad(b.getInt32Ty(), xsTops[t]), b.getInt32(23));
    b.CreateStore(biased, xsTops[t]);
    Value *unit = b.CreateShl(b.CreateSub(b.getInt32(30 + 2 * 127), biased),
                              b.getInt32(23));
    b.CreateStore(b.CreateBitCast(unit, b.getFloatTy()), units[t]);
  }
}

void HvxTile::build() {
  const int64_t perBlock = q.perBlock(), pairs = tokens * vectors;
  auto locals = [&](int64_t count, Type *type) {
    SmallVector<AllocaInst *> all;
    for (int64_t i = 0; i < count; ++i)
      all.push_back(w.local(type));
    return all;
  };
  sums = locals(pairs, words), pending = locals(pairs, words);
  pendingParts = locals(vectors, words);
  pendingFactors = locals(tokens, b.getInt32Ty());
  xsTops = locals(tokens, b.getInt32Ty());
  units = locals(tokens, b.getFloatTy());
  rowTop = w.local(halves), rowLeast = w.local(halves);
  rowUnit = w.local(halves);
  w.loop(layout.panels, [&](Value *panel) {
    Value *first = w.at(q.weights, panel, layout.panelBytes());
    findLargest(first);
    // Half of a unit is what shifting takes off each sum on average.
    fill(sums, word(headroom ? terms / 2 : 0));
    // Before the first block there is one of zeros.
    fill(pending, word(0));
    fill(pendingParts, word(0));
    fill(pendingFactors, b.getInt32(0));
    w.loop(layout.k / layout.block, [&](Value *index) {
      Value *weights = w.at(first, index, layout.blockBytes());
      w.loop(perBlock, [&](Value *part) {
        Value *low =
            w.at(w.at(weights, layout.codesStart()), part, q.lowBytes());
        Value *top = w.at(w.at(weights, layout.topStart()), part, q.topBytes());
        block(weights, low, top,
              b.CreateAdd(b.CreateMul(index, w.index(perBlock)), part));
      });
    });
    for (int64_t i = 0; i < pairs; ++i)
      addPending(i);
    for (int64_t t = 0; t < tokens; ++t)
      finish(panel, t);
  });
}

/// The f32 bits of sum * 2^exponent, rounded to nearest; 0 if subnormal.
Value *HvxTile::toFloat(Value *sum, Value *exponent) {
  Value *sign = b.CreateAnd(sum, word(INT32_MIN));
  Value *size = b.CreateBinaryIntrinsic(Intrinsic::abs, sum, b.getFalse());
  Value *zeros = b.CreateBinaryIntrinsic(Intrinsic::ctlz, size, b.getFalse());
  Value *normal = b.CreateShl(
      size, b.CreateBinaryIntrinsic(Intrinsic::umin, zeros, word(31)));
  Value *mantissa = b.CreateLShr(normal, word(8));
  Value *rounded = b.CreateAdd(
      mantissa, b.CreateAnd(b.CreateLShr(normal, word(7)), word(1)));
  // The mantissa's highest bit adds one to the field.
  Value *field = b.CreateSub(b.CreateAdd(exponent, word(127 + 30)), zeros);
  Value *bits = b.CreateAdd(b.CreateShl(field, word(23)), rounded);
  Value *fine = b.CreateAnd(b.CreateICmpSGE(field, word(0)),
                            b.CreateICmpNE(sum, word(0)));
  return b.CreateOr(sign, b.CreateSelect(fine, bits, word(0)));
}

/// Writes y of a token.
void HvxTile::finish(Value *panel, int64_t token) {
  Value *zero = half(0);
  Value *exponents = zip(zero, load(halves, rowTop, vectorBytes));
  Value *unit = splatWord(b.CreateAdd(
      b.CreateLoad(b.getInt32Ty(), xsTops[token]), b.getInt32(-151 - room)));
  finishHvxRows(
      q, vectors,
      [&](int64_t v) {
        Value *exponent =
            b.CreateAdd(w.part(exponents, v * lanes, lanes), unit);
        return toFloat(b.CreateLoad(words, sum(token, v)), exponent);
      },
      panel, token, floats);
}

} // namespace

void buildHvxTile(LinearQ &kernel, bool floats) {
  HvxTile(kernel, floats).build();
}

} // namespace lfmc
