// SPDX-License-Identifier: Apache-2.0
//
// linear_q: `linear` on quantized weights (Quantized.h) and quantized rows of
// activations (Quantize.cpp):
//   y[t][p*R + r] = (res) + (bias)
//     + sum over blocks b of 32 columns, ascending, of
//       (xs[t][b] * (sum over k in b of (code - offset) * xq[t][k])) * s[r][b]
//       (+ (xs[t][b] * xsum[t][b]) * m[r][b] for q4m)
// The inner sums are exact integers; the outer one is one f32 fused
// multiply-add (v2, and q4m: multiplication and addition; the scale's term
// before the minimum's) per block in the same order for every number of tokens,
// so that a token has the same bits alone and in a tile. Panels, swiglu,
// residual and bias are those of `linear`.
//
// xq, xs and xsum point into token 0's row at the call's first column and
// block; the rows lie x_stride_bytes apart (default: dense rows of `width`
// columns, which defaults to k).
//
// The unpacked codes of a block fill 8 registers a vector of rows (q8 without
// VNNI: 16), a token takes one more each. One panel per call suits both one
// token and tiles; two read 5 to 35 % slower. "prefetch" is the distance in
// bytes, default 8192: on Zen 5 one token is 14 to 31 % faster than with 4096
// on AVX2; of 4 and 6 tokens with VNNI it makes 0.9 of one token's bandwidth
// what was 0.6 and 0.5; tiles on weights in the caches do not notice.
#include "codegen/halide/Families.h"
#include "codegen/halide/Math.h"
#include "codegen/halide/Quantized.h"

using namespace Halide;

namespace lfmc::halide {

namespace {

// Codes as the machine's multiplication wants them, in one or two parts that
// add up to code - offset: each a Func u8 or i8 (j, r, i, s, p) and the factor
// of its sum.
struct Part {
  Func codes;
  int factor;
};

struct Codes {
  std::vector<Part> parts;
  int offset;
};

Codes unpack(const QuantizedPanels &w, const Machine &machine) {
  Var j("j"), r("r"), i("i"), s("s"), p("p");
  const Expr low = w.low(j, r, i, s, p);
  auto part = [&](const char *name, Expr value, int factor) {
    Func codes(name);
    codes(j, r, i, s, p) =
        machine.dot == Dot::Signed ? cast<int8_t>(value) : value;
    return Part{codes, factor};
  };
  if (w.isQ6()) {
    const Expr high = w.high(j, r, i, s, p);
    // Pairs of products of more than seven bits, added up over a block, exceed
    // 16 bits: two parts there.
    if (machine.dot == Dot::Pairs)
      return {{part("low", low, 1), part("high", high, 16)}, w.offset()};
    return {{part("codes", low | high << cast<uint8_t>(4), 1)}, w.offset()};
  }
  if (!w.isQ8())
    return {{part("codes", low, 1)}, w.offset()};
  if (machine.dot == Dot::Signed)
    return {{part("codes", reinterpret<int8_t>(low), 1)}, 0};
  const Expr raised = low ^ cast<uint8_t>(128); // code + 128
  if (machine.dot == Dot::Unsigned)
    return {{part("codes", raised, 1)}, 128};
  // Those of nibbles fit: 15 * 127 * 2 * 8 < 2^15.
  return {{part("low", raised & cast<uint8_t>(15), 1),
           part("high", raised >> cast<uint8_t>(4), 16)},
          128};
}

} // namespace

std::vector<Argument> linearQArguments(const Params &params) {
  std::vector<std::string> inputs = {"xq", "xs", "xsum", "w"};
  if (params.flag("bias"))
    inputs.push_back("bias");
  if (params.flag("residual"))
    inputs.push_back("res");
  return argumentList(inputs, {"y"});
}

Pipeline buildLinearQ(const Params &params, const Machine &machine) {
  const QuantizedPanels w(params, "k", true);
  const LinearQShape s(params, w);
  if (s.quads)
    params.fail("parameter 'quads' wants a target with i8mm, rows and tokens "
                "in fours");
  if (s.outer)
    params.fail("parameter 'outer' wants a target with sme, a 'group', panels "
                "of 16 rows, and 16 tokens or a multiple of 32");
  if (s.pairs)
    params.fail("parameter 'pairs' wants x86 with AVX2 and whole vectors of "
                "rows");
  if (s.group)
    params.fail(
        "parameter 'group' wants a target with VNNI and whole vectors of "
        "rows");
  if (s.lanes)
    params.fail("parameter 'lanes' wants a target with VNNI, vectors of so "
                "many rows and whole ones in a tile");
  if (w.raised)
    params.fail("parameter 'raised' wants HVX and panels of 32 or 64 rows");
  const int blocks = w.k / activationBlock, groups = activationBlock / w.depth;
  const int vector = dividingLanes(s.tileRows, machine.lanes);
  ImageParam xq = input("xq", Int(8), {{w.k, 1}, {s.tokens, s.xStride}});
  ImageParam xs =
      input("xs", Float(32), {{blocks, 1}, {s.tokens, s.xStride / 4}});
  ImageParam xsum =
      input("xsum", Int(32), {{blocks, 1}, {s.tokens, s.xStride / 4}});
  ImageParam bias = input("bias", Float(32), {{w.panels * w.rows, 1}});
  ImageParam res =
      input("res", Float(32), {{s.columns, 1}, {s.tokens, s.resStride}});

  // The algorithm.
  Var r("r"), t("t"), p("p"), b("b"), c("c"), pair("pair");
  const Codes codes = unpack(w, machine);
  Func sum("sum"), acc("acc"), y("y");
  struct Half { // sums in 16 bits
    Func product, sum;
    RDom two, k;
  };
  std::vector<Half> halves;
  RDom k(0, w.depth, 0, groups, "k");
  sum(r, t, b, p) = codes.offset ? -codes.offset * xsum(b, t) : Expr(0);
  if (machine.dot == Dot::Pairs) {
    for (const Part &part : codes.parts) {
      // Nothing saturates here, maddubs only comes in that form. Its results
      // are added plainly: CPUs do that on twice as many ports.
      RDom two(0, 2, "two"), k(0, groups, "k");
      Func product("product"), half("half");
      Var i("i");
      Expr j = two + 2 * pair;
      product(pair, r, t, b, p, i) = cast<int16_t>(0);
      product(pair, r, t, b, p, i) = saturating_add(
          product(pair, r, t, b, p, i),
          cast<int16_t>(part.codes(j, r, i, b, p)) *
              cast<int16_t>(xq(b * activationBlock + i * w.depth + j, t)));
      half(pair, r, t, b, p) = cast<int16_t>(0);
      half(pair, r, t, b, p) += product(pair, r, t, b, p, k);
      RDom pairs(0, w.depth / 2, "pairs");
      sum(r, t, b, p) += part.factor * cast<int32_t>(half(pairs, r, t, b, p));
      halves.push_back({product, half, two, k});
    }
  } else {
    sum(r, t, b, p) += cast<int32_t>(
        cast<int16_t>(codes.parts[0].codes(k.x, r, k.y, b, p)) *
        cast<int16_t>(xq(b * activationBlock + k.y * w.depth + k.x, t)));
  }
  RDom all(0, blocks, "all");
  acc(r, t, p) = 0.0f;
  Expr next = acc(r, t, p);
  auto addTerm = [&](Expr value, Expr factor) {
    next += strict_float(cast<float>(value) * xs(all, t)) * factor;
    // Else the compiler adds the two terms in an order of its choice.
    if (w.hasMinimum())
      next = strict_float(next);
  };
  addTerm(sum(r, t, all, p), w.scale(r, all, p));
  if (w.hasMinimum())
    addTerm(xsum(all, t), w.minimum(r, all, p));
  acc(r, t, p) = next;
  Func sums = acc;
  if (s.tileRows < w.rows) {
    sums = Func("sums");
    sums(r, t, p) = acc(r, t, p);
  }
  auto total = [&](Expr row, Expr panel) {
    Expr value = sums(row, t, panel);
    return s.bias ? strict_float(value + bias(panel * w.rows + row)) : value;
  };
  Expr value = total(c % s.out, c / s.out);
  if (s.swiglu)
    value = siluF32(value) * total(c % s.out + s.out, c / s.out);
  else if (s.residual)
    value = strict_float(res(c, t) + value);
  y(c, t) = value;

  // Schedule: the codes of a block stay in registers for all tokens.
  Var lane("lane"), v("v");
  const int outVector = dividingLanes(s.out, machine.lanes);
  y.split(c, p, c, s.out).split(c, v, lane, outVector).vectorize(lane);
  y.reorder(lane, v, p, t).unroll(v).unroll(p).unroll(t);
  if (s.tileRows < w.rows)
    inPasses(acc, sums, s.tileRows, w.rows, vector);
  else
    acc.compute_root().store_in(MemoryType::Stack).bound(r, 0, w.rows);
  acc.split(r, v, lane, vector).vectorize(lane).unroll(v).unroll(t).unroll(p);
  acc.update()
      .split(r, v, lane, vector)
      .reorder(lane, v, t, p, all)
      .vectorize(lane)
      .unroll(v)
      .unroll(t)
      .unroll(p);
  for (const Part &part : codes.parts) {
    Func f = part.codes;
    Var j = f.args()[0], row = f.args()[1], i = f.args()[2];
    f.compute_at(acc, p).store_in(MemoryType::Stack);
    f.reorder(j, row, i).bound_extent(j, w.depth).vectorize(j);
    f.bound_extent(row, s.tileRows).vectorize(row);
    f.unroll(i);
  }
  sum.compute_at(acc, t).store_in(MemoryType::Stack).vectorize(r);
  if (machine.dot == Dot::Pairs) {
    for (size_t n = 0; n < halves.size(); ++n) {
      RVar pairs = sum.rvars(n)[0];
      sum.update(n).reorder(pairs, r).atomic().vectorize(pairs).vectorize(r);
      Half &half = halves[n];
      half.sum.compute_at(acc, t).store_in(MemoryType::Stack);
      half.sum.bound_extent(pair, w.depth / 2).vectorize(pair).vectorize(r);
      half.sum.update()
          .reorder(pair, r, half.k)
          .vectorize(pair)
          .vectorize(r)
          .unroll(half.k);
      half.product.compute_at(half.sum, half.k).store_in(MemoryType::Stack);
      half.product.bound_extent(pair, w.depth / 2);
      half.product.vectorize(pair).vectorize(r);
      half.product.update()
          .reorder(half.two, pair, r)
          .atomic(true)
          .vectorize(half.two)
          .vectorize(pair)
          .vectorize(r);
    }
  } else {
    sum.update()
        .reorder(k.x, r, k.y)
        .atomic()
        .vectorize(k.x)
        .vectorize(r)
        .unroll(k.y);
  }
  pinOutput(y, {{s.columns, 1}, {s.tokens, s.yStride}});

  Pipeline pipeline{{xq, xs, xsum, w.codes}, {y}, {}};
  pipeline.aliases = w.aliases();
  if (s.bias)
    pipeline.inputs.push_back(bias);
  if (s.residual)
    pipeline.inputs.push_back(res);
  Prefetch &prefetch = pipeline.prefetches.emplace_back();
  prefetch.buffer = "w";
  prefetch.loop = all.x.name();
  prefetch.type = UInt(8);
  prefetch.elementsPerIteration = w.blockBytes() / (w.block / activationBlock);
  prefetch.bytesAhead = s.prefetch;
  for (int panel = 0; panel < w.panels; ++panel)
    prefetch.streams.push_back(panel * w.panelBytes());
  return pipeline;
}

} // namespace lfmc::halide
