// SPDX-License-Identifier: Apache-2.0
//
// linear_q by vrmpy of HVX: vectors of 32 rows times four columns of a token in
// a scalar register. Before v68 HVX has no floats, so a block's scales are
// applied in integers, too:
//
//   sum * scale * xs = sum * m * M * 2^(e + E + constant)
//
// m is the f16 scale's mantissa of 11 bits, shifted left as far as a block's
// largest sum leaves room, so that sum * m is exact below 2^30; M is the
// mantissa of xs in 31 bits. The product's upper half is shifted right by what
// its exponent lies below the largest of the row, which a first pass over the
// scales finds, and added up in 32 bits. One unit of them is 2^-24 or less of
// the largest possible sum; sums of floats end the kernel.
#include "codegen/llvm/micro/LinearQ.h"

#include "llvm/IR/IntrinsicsHexagon.h"
#include "llvm/Support/MathExtras.h"

#include <numeric>

using namespace llvm;

namespace lfmc {
namespace {

constexpr int64_t lanes = 32, vectorBytes = 128;

class HvxTile {
public:
  explicit HvxTile(LinearQ &kernel)
      : q(kernel), layout(kernel.layout), shape(kernel.shape),
        w(*kernel.writer), b(w.b), vectors(layout.rows / lanes),
        tokens(shape.tokens), offset(layout.isQ8() ? 128 : layout.offset()),
        // |sum * m| < 2^30 with sums of 32 products by at most 127.
        room(layout.isQ8()         ? 0
             : layout.isQ6()       ? 2
             : layout.hasMinimum() ? 3
                                   : 4),
        // n sums of less than 0.985 * 2^30 fit if shifted by log2(n) - 1.
        terms(q.blocks() * (layout.hasMinimum() ? 2 : 1)),
        headroom(std::max<int>(0, int(Log2_32_Ceil(terms)) - 1)),
        alignment(std::gcd<int64_t>(layout.blockBytes(), vectorBytes)),
        words(w.vector(b.getInt32Ty(), lanes)),
        halves(w.vector(b.getInt16Ty(), 2 * lanes)),
        bytes(w.vector(b.getInt8Ty(), vectorBytes)) {}
  void build();

private:
  /// The f16 scales of a block, one a half word, and their parts.
  struct Scales {
    Value *mantissa, *exponent;
  };
  Scales scales(Value *block);
  Value *codes(Value *low, Value *top, int group, int64_t vector);
  Value *minima(Value *block) { return w.at(block, layout.rows * 2); }
  void block(Value *weights, Value *low, Value *top, Value *index);
  void addTerms(const Scales &s, Value *index, ArrayRef<Value *> integers);
  void finish(Value *panel, int64_t token);
  Value *toFloat(Value *sum, Value *exponent);
  void finishRow(Value *panel, Value *row, Value *memory, int64_t token);

  Value *load(Type *type, Value *pointer, int64_t align) {
    return b.CreateAlignedLoad(type, pointer, Align(align));
  }
  Value *perToken(Value *first, int64_t token) {
    return w.at(first, token * shape.xStride);
  }
  /// An f32 of a token and block as bits.
  Value *xsBits(Value *index, int64_t token) {
    return load(b.getInt32Ty(), w.at(perToken(q.xs, token), index, 4), 4);
  }
  Value *splatHalf(Value *value) {
    return b.CreateBitCast(
        w.intrinsic(Intrinsic::hexagon_V6_lvsplath_128B, {value}), halves);
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
  const int room, terms, headroom;
  const int64_t alignment;
  FixedVectorType *words, *halves, *bytes;
  SmallVector<AllocaInst *> sums, tops; ///< tops: largest exponents
};

HvxTile::Scales HvxTile::scales(Value *block) {
  // A panel of 32 rows has half a vector of them; its codes fill the rest.
  Value *bits = load(halves, block, std::gcd(alignment, layout.rows * 2));
  Value *exponent =
      b.CreateAnd(b.CreateLShr(bits, half(10)), half(31), "exponent");
  Value *normal = b.CreateBinaryIntrinsic(Intrinsic::umin, exponent, half(1));
  Value *mantissa =
      b.CreateOr(b.CreateAnd(bits, half(0x3ff)), b.CreateShl(normal, half(10)));
  if (room)
    mantissa = b.CreateShl(mantissa, half(room));
  Value *sign = b.CreateAShr(bits, half(15));
  mantissa = b.CreateSub(b.CreateXor(mantissa, sign), sign, "mantissa");
  return {mantissa,
          b.CreateBinaryIntrinsic(Intrinsic::umax, exponent, half(1))};
}

/// Codes of four columns as unsigned bytes.
Value *HvxTile::codes(Value *low, Value *top, int group, int64_t vector) {
  const int64_t step = layout.rows * 4, first = vector * vectorBytes;
  const int64_t align = std::gcd(alignment, vectorBytes);
  auto bits = [&](Value *pointer, int64_t at, int shift, int mask) {
    Value *value = load(bytes, w.at(pointer, at), align);
    if (shift)
      value = b.CreateBitCast(
          b.CreateLShr(b.CreateBitCast(value, halves), half(shift)), bytes);
    return b.CreateAnd(value, w.all(bytes, mask));
  };
  if (layout.isQ8())
    return b.CreateXor(load(bytes, w.at(low, group * step + first), align),
                       w.all(bytes, -128));
  Value *value = bits(low, group / 2 * step + first, group % 2 * 4, 15);
  if (!layout.isQ6())
    return value;
  Value *high = bits(top, group / 4 * step + first, group % 4 * 2, 3);
  return b.CreateOr(value, b.CreateShl(high, w.all(bytes, 4)));
}

/// Adds activation block `index` to the sums.
void HvxTile::block(Value *weights, Value *low, Value *top, Value *index) {
  Value *xq = w.at(q.xq, index, 32), *xsum = w.at(q.xsum, index, 4);
  Values products;
  for (int64_t t = 0; t < tokens; ++t) {
    Value *start = word(0);
    if (offset)
      start = splatWord(b.CreateMul(load(b.getInt32Ty(), perToken(xsum, t), 4),
                                    b.getInt32(-offset)));
    products.append(vectors, start);
  }
  for (int group = 0; group < 8; ++group) {
    Values part;
    for (int64_t v = 0; v < vectors; ++v)
      part.push_back(codes(low, top, group, v));
    for (int64_t t = 0; t < tokens; ++t) {
      Value *x = load(b.getInt32Ty(), w.at(perToken(xq, t), group * 4), 4);
      for (int64_t v = 0; v < vectors; ++v) {
        Value *&product = products[t * vectors + v];
        product = w.intrinsic(Intrinsic::hexagon_V6_vrmpybus_acc_128B,
                              {product, part[v], x});
      }
    }
  }
  addTerms(scales(weights), index, products);
  if (!layout.hasMinimum())
    return;
  Values totals;
  for (int64_t t = 0; t < tokens; ++t)
    totals.append(vectors,
                  splatWord(load(b.getInt32Ty(), perToken(xsum, t), 4)));
  addTerms(scales(minima(weights)), index, totals);
}

/// Adds integers * scale * xs of each token and vector to the sums.
void HvxTile::addTerms(const Scales &s, Value *index,
                       ArrayRef<Value *> integers) {
  for (int64_t t = 0; t < tokens; ++t) {
    Value *xs = xsBits(index, t);
    Value *below = b.CreateSub(load(halves, tops[t], vectorBytes),
                               splatHalf(b.CreateLShr(xs, b.getInt32(23))));
    below = b.CreateAdd(b.CreateSub(below, s.exponent), half(headroom));
    below = b.CreateBinaryIntrinsic(Intrinsic::smin, below, half(31));
    Value *both = zip(s.mantissa, below);
    // 1.xx * 2^30; a scale of 0 has sums of 0.
    Value *factor = splatWord(b.CreateOr(
        b.CreateAnd(b.CreateShl(xs, b.getInt32(7)), b.getInt32(0x3fffff80)),
        b.getInt32(0x40000000)));
    for (int64_t v = 0; v < vectors; ++v) {
      Value *parts = w.part(both, v * lanes, lanes);
      Value *exact = w.intrinsic(Intrinsic::hexagon_V6_vmpyiowh_128B,
                                 {integers[t * vectors + v], parts});
      Value *upper =
          w.intrinsic(Intrinsic::hexagon_V6_vmpyewuh_128B, {exact, factor});
      upper = w.intrinsic(Intrinsic::hexagon_V6_vmpyowh_sacc_128B,
                          {upper, exact, factor});
      upper = w.intrinsic(Intrinsic::hexagon_V6_vasrwv_128B, {upper, parts});
      Value *memory = sum(t, v);
      b.CreateStore(b.CreateAdd(b.CreateLoad(words, memory), upper), memory);
    }
  }
}

void HvxTile::build() {
  const int64_t perBlock = q.perBlock();
  for (int64_t i = 0; i < tokens * vectors; ++i)
    sums.push_back(w.local(words));
  for (int64_t t = 0; t < tokens; ++t)
    tops.push_back(w.local(halves));
  w.loop(layout.panels, [&](Value *panel) {
    Value *first = w.at(q.weights, panel, layout.panelBytes());
    for (AllocaInst *top : tops)
      b.CreateStore(half(0), top);
    // Half of a unit is what shifting takes off each sum on average.
    for (AllocaInst *memory : sums)
      b.CreateStore(word(headroom ? terms / 2 : 0), memory);
    auto overBlocks = [&](function_ref<void(Value *, Value *, Value *)> body) {
      w.loop(layout.k / layout.block, [&](Value *index) {
        Value *weights = w.at(first, index, layout.blockBytes());
        w.loop(perBlock, [&](Value *part) {
          body(weights, part,
               b.CreateAdd(b.CreateMul(index, b.getInt64(perBlock)), part));
        });
      });
    };
    // A first pass finds each row's largest exponent.
    overBlocks([&](Value *weights, Value *, Value *index) {
      Value *exponent = scales(weights).exponent;
      if (layout.hasMinimum())
        exponent = b.CreateBinaryIntrinsic(Intrinsic::umax, exponent,
                                           scales(minima(weights)).exponent);
      for (int64_t t = 0; t < tokens; ++t) {
        Value *both = b.CreateAdd(
            exponent,
            splatHalf(b.CreateLShr(xsBits(index, t), b.getInt32(23))));
        b.CreateStore(b.CreateBinaryIntrinsic(
                          Intrinsic::smax, b.CreateLoad(halves, tops[t]), both),
                      tops[t]);
      }
    });
    overBlocks([&](Value *weights, Value *part, Value *index) {
      Value *low = w.at(w.at(weights, layout.codesStart()), part, q.lowBytes());
      Value *top = w.at(w.at(weights, layout.topStart()), part, q.topBytes());
      block(weights, low, top, index);
    });
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
  Value *exponents = zip(zero, load(halves, tops[token], vectorBytes));
  Value *y =
      w.at(w.at(q.y, token * shape.yStride * 4), panel, int64_t(shape.out) * 4);
  const bool plain = !shape.bias && !shape.residual && !shape.swiglu;
  Value *memory = plain ? y : w.stack(layout.rows * 4);
  for (int64_t v = 0; v < vectors; ++v) {
    Value *exponent = b.CreateAdd(w.part(exponents, v * lanes, lanes),
                                  word(headroom - 151 - room));
    Value *bits = toFloat(b.CreateLoad(words, sum(token, v)), exponent);
    b.CreateAlignedStore(bits, w.at(memory, v * vectorBytes), Align(4));
  }
  if (!plain)
    w.loop(shape.out,
           [&](Value *row) { finishRow(panel, row, memory, token); });
}

/// Adds bias and residual or applies swiglu, in scalar floats.
void HvxTile::finishRow(Value *panel, Value *row, Value *memory,
                        int64_t token) {
  Type *f32 = w.f32();
  auto result = [&](Value *row) {
    Value *value = load(f32, w.at(memory, row, 4), 4);
    if (!shape.bias)
      return value;
    Value *bias = w.at(w.at(q.bias, panel, int64_t(layout.rows) * 4), row, 4);
    return b.CreateFAdd(value, load(f32, bias, 4));
  };
  auto column = [&](Value *pointer, int64_t stride) {
    Value *tile =
        w.at(w.at(pointer, token * stride * 4), panel, int64_t(shape.out) * 4);
    return w.at(tile, row, 4);
  };
  Value *value = result(row);
  if (shape.swiglu)
    value = b.CreateFMul(silu(w, value),
                         result(b.CreateAdd(row, b.getInt64(shape.out))));
  else if (shape.residual)
    value = b.CreateFAdd(load(f32, column(q.res, shape.resStride), 4), value);
  b.CreateAlignedStore(value, column(q.y, shape.yStride), Align(4));
}

} // namespace

void buildHvxTile(LinearQ &kernel) { HvxTile(kernel).build(); }

} // namespace lfmc
