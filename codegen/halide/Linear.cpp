// SPDX-License-Identifier: Apache-2.0
//
// linear: y[t][p*R + r] = (res[t][p*R + r]) + (bias[p*R + r])
//                         + sum over k of x[t][k] * W[p][r][k]
// for T tokens and P panels of R rows; with swiglu the first R/2 rows of a
// panel are gates, the others the matching up rows, and
//   y[t][p*R/2 + i] = silu(gate_i) * up_i.
//
// W is stored [panel][k/depth][R][depth]. Depth is 2 for bf16: one 32-bit load
// holds k (low half) and k+1 (high half), and each becomes f32 by one shift or
// mask, with no shuffle.
//
// x is f32 or, for bf16 weights, bf16. With "dot" (then x is bf16 and k even)
// pairs of columns are multiplied and added by one instruction (vdpbf16ps), and
// a sum starts from residual and bias and takes the columns in order: it has
// the same bits in every tile and, by way of the residual, in every cut of the
// columns.
//
// Tuning, all optional: "unroll" steps of k per loop iteration; "prefetch"
// bytes ahead in each panel (for one token 4096, which gains 8 to 13 % where a
// single thread streams weights from 4 KiB pages; otherwise 0).
#include "codegen/halide/Families.h"
#include "codegen/halide/Math.h"

using namespace Halide;

namespace lfmc::halide {

namespace {

struct Shape {
  Storage storage;
  int rows, tileRows, panels, tokens, k, kTotal, xStride, yStride, resStride;
  bool residual, swiglu, bias, rounded, dot;
  int depth() const { return storage == Storage::BF16 ? 2 : 1; }
  int outRows() const { return swiglu ? rows / 2 : rows; } // per panel
};

Shape readShape(const Params &params) {
  Shape s;
  s.storage = storageParam(params, "wtype",
                           {Storage::F32, Storage::BF16, Storage::F16});
  s.rows = params.size("rows");
  // Rows that are computed together; a panel made for wider vectors takes
  // several passes.
  s.tileRows = params.size("tile_rows", s.rows);
  if (s.rows % s.tileRows)
    params.fail("parameter 'tile_rows' does not divide 'rows'");
  s.panels = params.size("panels", 1);
  s.tokens = params.size("tokens", 1);
  s.k = params.size("k");
  s.kTotal = params.size("k_total", s.k);
  s.residual = params.flag("residual");
  s.swiglu = params.flag("swiglu");
  s.bias = params.flag("bias");
  s.rounded = storageParam(params, "xtype", {Storage::F32, Storage::BF16}) ==
              Storage::BF16;
  s.dot = params.flag("dot");
  if (s.rounded && s.storage != Storage::BF16)
    params.fail("x of bf16 needs weights of bf16");
  if (s.dot && !s.rounded)
    params.fail("parameter 'dot' needs x of bf16");
  if (s.swiglu && s.rows % 2)
    params.fail("parameter 'rows' is odd, expected gate and up rows in pairs");
  if (s.swiglu && s.residual)
    params.fail("parameters 'swiglu' and 'residual' exclude each other");
  if (s.k % s.depth() || s.kTotal % s.depth())
    params.fail("parameters 'k' and 'k_total' must be even for bf16 weights");
  if (s.k > s.kTotal)
    params.fail("parameter 'k' exceeds 'k_total'");
  int columns = s.panels * s.outRows();
  s.xStride = params.size("x_stride", s.k);
  s.yStride = params.size("y_stride", columns);
  s.resStride = params.size("res_stride", s.yStride);
  return s;
}

// Independent partial sums per output. An FMA takes about four cycles and two
// start per cycle: fewer than eight accumulators wait for one another.
int chainCount(const Shape &s, const Machine &machine, int vector) {
  int accumulators = s.panels * s.tokens * (s.tileRows / vector);
  int chains = 1;
  while (chains < 8 && accumulators * chains < 8 &&
         accumulators * chains * 2 < machine.registers)
    chains *= 2;
  return chains;
}

} // namespace

std::vector<Argument> linearArguments(const Params &params) {
  std::vector<std::string> inputs = {"x", "w"};
  if (params.flag("bias"))
    inputs.push_back("bias");
  if (params.flag("residual"))
    inputs.push_back("res");
  return argumentList(inputs, {"y"});
}

Pipeline buildLinear(const Params &params, const Machine &machine) {
  const Shape s = readShape(params);
  const int depth = s.depth();
  const int vector =
      dividingLanes(std::min(s.outRows(), s.tileRows), machine.lanes);
  const int chains = s.dot ? 1 : chainCount(s, machine, vector);
  // One step of the loop covers `chains` partial sums times `unroll`.
  const int unroll = params.integer("unroll", std::max(1, 4 / chains), 1, 64);
  const int step =
      s.dot ? 2 * unroll
            : chains * unroll * (chains * unroll % depth ? depth : 1);
  const int perChain = step / chains;

  Type stored = s.storage == Storage::F32    ? Float(32)
                : s.storage == Storage::BF16 ? UInt(32)
                                             : Float(16);
  const int columns = s.panels * s.outRows();
  // Pairs of columns are one element, but for the dot product.
  ImageParam x =
      s.dot ? input("x", BFloat(16), {{s.k, 1}, {s.tokens, s.xStride}})
      : s.rounded
          ? input("x", UInt(32), {{s.k / 2, 1}, {s.tokens, s.xStride / 2}})
          : input("x", Float(32), {{s.k, 1}, {s.tokens, s.xStride}});
  ImageParam w = s.dot ? input("w", BFloat(16),
                               {{2, 1},
                                {s.rows, 2},
                                {s.k / 2, s.rows * 2},
                                {s.panels, s.rows * s.kTotal}})
                       : input("w", stored,
                               {{s.rows, 1},
                                {s.k / depth, s.rows},
                                {s.panels, s.rows * (s.kTotal / depth)}});
  ImageParam bias = input("bias", Float(32), {{s.panels * s.rows, 1}});
  ImageParam res =
      input("res", Float(32), {{columns, 1}, {s.tokens, s.resStride}});

  // The algorithm.
  Var r("r"), t("t"), p("p"), chain("chain"), c("c");
  auto half = [](Expr pair, Expr k) -> Expr {
    return reinterpret<float>(
        select(k % 2 == 0, pair << 16, pair & Expr(uint32_t(0xffff0000))));
  };
  auto weight = [&](Expr k) -> Expr {
    Expr value = w(r, k / depth, p);
    return s.storage == Storage::BF16 ? half(value, k) : cast<float>(value);
  };
  auto column = [&](Expr k) -> Expr {
    return s.rounded ? half(x(k / 2, t), k) : x(k, t);
  };
  Func acc("acc");
  acc(r, t, p, chain) = 0.0f;
  if (s.dot) {
    Expr start = 0.0f;
    if (s.residual)
      start = res(p * s.rows + r, t);
    if (s.bias)
      start = strict_float(start + bias(p * s.rows + r));
    acc = Func("acc");
    acc(r, t, p, chain) = start;
  }
  const int steps = s.k / step, rest = s.k % step;
  RDom main(0, perChain, 0, std::max(steps, 1), "main");
  RDom tail(0, std::max(rest, 1), "tail");
  RDom two(0, 2, 0, unroll, 0, std::max(steps, 1), "two");
  RDom last(0, 2, 0, std::max(rest / 2, 1), 0, 1, "last");
  auto product = [&](Expr j, Expr pair) {
    return cast<float>(w(j, r, pair, p)) * cast<float>(x(2 * pair + j, t));
  };
  if (steps && s.dot) {
    acc(r, t, p, chain) += product(two.x, two.z * unroll + two.y);
  } else if (steps) {
    Expr k = main.y * step + main.x * chains + chain;
    acc(r, t, p, chain) += column(k) * weight(k);
  }
  if (rest && s.dot) {
    acc(r, t, p, 0) += product(last.x, steps * unroll + last.y);
  } else if (rest) {
    Expr k = tail + steps * step;
    acc(r, t, p, 0) += column(k) * weight(k);
  }
  Func sums("sums");
  Expr sum = acc(r, t, p, 0);
  for (int i = 1; i < chains; ++i)
    sum += acc(r, t, p, i);
  sums(r, t, p) = sum;
  auto total = [&](Expr row, Expr panel) {
    Expr value = sums(row, t, panel);
    return s.bias && !s.dot ? value + bias(panel * s.rows + row) : value;
  };
  const int out = s.outRows();
  Func y("y");
  if (s.swiglu)
    y(c, t) = siluF32(total(c % out, c / out)) * total(c % out + out, c / out);
  else if (s.residual && !s.dot)
    y(c, t) = res(c, t) + total(c % out, c / out);
  else
    y(c, t) = total(c % out, c / out);

  // Schedule: all accumulators live in registers across the k loop.
  Var lane("lane"), v("v");
  y.split(c, p, c, out).split(c, v, lane, vector).vectorize(lane);
  y.reorder(lane, v, p, t).unroll(v).unroll(p).unroll(t);
  if (s.tileRows < s.rows)
    inPasses(acc, sums, s.tileRows, s.rows, vector);
  else
    acc.compute_root().store_in(MemoryType::Stack).bound(r, 0, s.rows);
  acc.split(r, v, lane, vector).vectorize(lane);
  acc.unroll(v).unroll(t).unroll(p).unroll(chain);
  int stage = 0;
  auto schedulePairs = [&](const RVar &j, const RVar &pair, const RVar &outer) {
    acc.update(stage++)
        .split(r, v, lane, vector)
        .reorder(j, lane, v, p, t, pair, outer)
        .atomic()
        .vectorize(j)
        .vectorize(lane)
        .unroll(v)
        .unroll(p)
        .unroll(t)
        .unroll(pair);
  };
  if (steps && s.dot)
    schedulePairs(two.x, two.y, two.z);
  if (rest && s.dot)
    schedulePairs(last.x, last.y, last.z);
  if (steps && !s.dot)
    acc.update(stage++)
        .split(r, v, lane, vector)
        .reorder(lane, v, p, t, chain, main.x, main.y)
        .vectorize(lane)
        .unroll(v)
        .unroll(p)
        .unroll(t)
        .unroll(chain)
        .unroll(main.x);
  if (rest && !s.dot)
    acc.update(stage)
        .split(r, v, lane, vector)
        .reorder(lane, v, p, t, tail)
        .vectorize(lane)
        .unroll(v)
        .unroll(p)
        .unroll(t)
        .unroll(tail);
  pinOutput(y, {{columns, 1}, {s.tokens, s.yStride}});

  Pipeline pipeline{{x, w}, {y}, {}};
  Prefetch &prefetch = pipeline.prefetches.emplace_back();
  prefetch.buffer = "w";
  prefetch.loop = s.dot ? two.z.name() : main.y.name();
  prefetch.type = stored;
  prefetch.elementsPerIteration = s.rows * step / depth;
  prefetch.bytesAhead =
      params.integer("prefetch", s.tokens == 1 ? 4096 : 0, 0, 1 << 20);
  for (int panel = 0; panel < s.panels; ++panel)
    prefetch.streams.push_back(panel * s.rows * (s.kTotal / depth));
  if (s.bias)
    pipeline.inputs.push_back(bias);
  if (s.residual)
    pipeline.inputs.push_back(res);
  return pipeline;
}

} // namespace lfmc::halide
