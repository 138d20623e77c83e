// SPDX-License-Identifier: Apache-2.0
//
// attention_block: one step of online softmax, for one kv head, T query tokens
// of G heads each (rows r = t*G + g) and a block of N cached positions:
//   s[r][j] = scale * sum over d of q[r][d] * k[j][d]   for visible j
//   m'[r] = max(m[r], max over j of s[r][j])
//   l'[r] = l[r] * exp(m[r] - m'[r]) + sum over j of exp(s[r][j] - m'[r])
//   acc'[r] = acc[r] * exp(m[r] - m'[r]) + sum over j of exp(...) * v[j]
// Position j is visible to token t iff j < limit + t and, with a window, also
// j >= limit + t - window. A row that sees nothing keeps m, l and acc. Start
// with m = -inf (or a large negative value), l = 0, acc = 0. Values at
// positions from limit + T - 1 on are never used, whatever they hold.
//
// score_registers and sum_registers bound the tiles of the two products; by
// themselves they take the registers that there are.
//
// With kvtype q8 keys and values are int8 codes times a scale for each
// position, ks[N] and vs[N].
//
// Layouts: q[t][g][d] with q_stride between tokens; k[N/J][D][J] (J adjacent
// positions fill a vector); v[N][D]; m, l [T*G]; acc [T*G][D]. Outputs must not
// overlap inputs. Over f16 the LLVM backend has kernels for Arm
// (codegen/llvm/micro/ArmAttention.cpp).
//
// attention_finish: y[t][g][d] = acc[t*G + g][d] / l[t*G + g].
#include "codegen/halide/AttentionShape.h"
#include "codegen/halide/Families.h"
#include "codegen/halide/Math.h"
#include "codegen/halide/Reduce.h"

using namespace Halide;

namespace lfmc::halide {

namespace {

struct Shape : AttentionShape {
  Type type; // of k and v

  Shape(const Params &params, int registers)
      : AttentionShape(params, registers) {
    const Storage storage = storageParam(
        params, "kvtype", {Storage::F32, Storage::F16, Storage::Q8});
    type = storage == Storage::F32   ? Float(32)
           : storage == Storage::F16 ? Float(16)
                                     : Int(8);
  }
  bool quantized() const { return type == Int(8); }
};

// A register tile of `rows` by `vectors` accumulators: per step it loads
// rows + vectors operands for rows * vectors multiply-adds.
struct Tile {
  int rows, vectors;
};

Tile chooseTile(int rows, int vectors, int registers) {
  Tile best{1, 1};
  double bestRatio = 0;
  for (int v = 1; v <= vectors; ++v)
    for (int r = 1; r <= rows; ++r) {
      if (vectors % v || rows % r || r * v + v + 1 > registers)
        continue;
      // Fewer than eight accumulators leave the multipliers waiting.
      double ratio = double(r * v) / (r + v) * std::min(1.0, r * v / 8.0);
      if (ratio > bestRatio) {
        best = {r, v};
        bestRatio = ratio;
      }
    }
  return best;
}

} // namespace

std::vector<Argument> attentionBlockArguments(const Params &params) {
  std::vector<std::string> inputs = {"q", "k", "v", "m_in", "l_in", "acc_in"};
  if (Shape(params, 32).quantized())
    inputs.insert(inputs.begin() + 3, {"ks", "vs"});
  return argumentList(inputs, {"m", "l", "acc"}, {"limit"});
}

Pipeline buildAttentionBlock(const Params &params, const Machine &machine) {
  const Shape s(params, machine.registers);
  const int rows = s.rows();
  ImageParam q = input("q", Float(32),
                       {{s.dim, 1}, {s.group, s.dim}, {s.tokens, s.qStride}});
  ImageParam k = input(
      "k", s.type,
      {{s.lanes, 1}, {s.dim, s.lanes}, {s.block / s.lanes, s.lanes * s.dim}});
  ImageParam v = input("v", s.type, {{s.dim, 1}, {s.block, s.dim}});
  ImageParam ks = input("ks", Float(32), {{s.block, 1}});
  ImageParam vs = input("vs", Float(32), {{s.block, 1}});
  ImageParam mIn = input("m_in", Float(32), {{rows, 1}});
  ImageParam lIn = input("l_in", Float(32), {{rows, 1}});
  ImageParam accIn = input("acc_in", Float(32), {{s.dim, 1}, {rows, s.dim}});
  Param<int32_t> limit("limit");

  // The algorithm. `lowest` replaces -inf, which arithmetic assumes absent.
  const float lowest = -1e30f;
  Var j("j"), r("r"), d("d");
  auto end = [&](Expr r) { return limit + r / s.group; };
  auto visible = [&](Expr j, Expr r) -> Expr {
    if (!s.window)
      return j < end(r);
    return j < end(r) && j >= end(r) - s.window;
  };
  Func dot("dot"), product("product"), high("high"), weight("weight");
  RDom rd(0, s.dim, "rd");
  dot(j, r) = 0.0f;
  dot(j, r) += q(rd, r % s.group, r / s.group) *
               cast<float>(k(j % s.lanes, rd, j / s.lanes));
  // Apart from the mask: it would narrow the region to a dynamic size.
  product(j, r) = dot(j, r) * (s.quantized() ? ks(j) * s.scale : s.scale);
  auto score = [&](Expr j, Expr r) {
    return select(visible(j, r), product(j, r), lowest);
  };
  Reduction top(Reduction::Max, "top", s.block, machine, score);
  Expr before = strict_float(max(mIn(r), lowest));
  high(r) = max(before, top(r));
  weight(j, r) = select(visible(j, r), expF32(score(j, r) - high(r)), 0.0f);
  Reduction mass(Reduction::Sum, "mass", s.block, machine,
                 [&](Expr j, Expr r) { return weight(j, r); });
  Func decay("decay");
  decay(r) = expF32(before - high(r));

  Func sum("sum");
  RDom rj(0, s.block, "rj");
  rj.where(rj < limit + (s.tokens - 1));
  sum(d, r) = accIn(d, r) * decay(r);
  Func factor = weight;
  if (s.quantized()) {
    factor = Func("factor");
    factor(j, r) = select(visible(j, r), weight(j, r) * vs(j), 0.0f);
  }
  sum(d, r) += factor(rj, r) * cast<float>(v(d, rj));

  Func m("m"), l("l"), acc("acc");
  Expr first = s.window ? max(end(r) - s.window, 0) : Expr(0);
  m(r) = select(first < min(end(r), s.block), high(r), mIn(r));
  l(r) = lIn(r) * decay(r) + mass(r);
  acc(d, r) = sum(d, r);

  // Schedule: scores by tiles of rows x positions, then the softmax row by row,
  // then the weighted sum by tiles of rows x dims.
  Var jo("jo"), ji("ji"), ro("ro"), ri("ri"), lane("lane"), vi("vi");
  const int jLanes = dividingLanes(s.lanes, machine.lanes);
  const Tile st = chooseTile(rows, s.block / jLanes, s.scoreRegisters);
  product.compute_root().store_in(MemoryType::Stack);
  product.bound(j, 0, s.block).bound(r, 0, rows);
  product.tile(j, r, jo, ro, ji, ri, st.vectors * jLanes, st.rows)
      .vectorize(ji, jLanes)
      .unroll(ji)
      .unroll(ri);
  dot.compute_at(product, jo).store_in(MemoryType::Stack);
  dot.vectorize(j, jLanes).unroll(j).unroll(r);
  dot.update()
      .split(j, vi, lane, jLanes)
      .reorder(lane, vi, r, rd)
      .vectorize(lane)
      .unroll(vi)
      .unroll(r);
  high.compute_root().store_in(MemoryType::Stack).bound(r, 0, rows);
  decay.compute_root().store_in(MemoryType::Stack).bound(r, 0, rows);
  vectorizeLoop(decay, r, rows, machine.lanes);
  weight.compute_root().store_in(MemoryType::Stack);
  weight.bound(j, 0, s.block).bound(r, 0, rows);
  vectorizeLoop(weight, j, s.block, machine.lanes);
  if (s.quantized()) {
    factor.compute_root().store_in(MemoryType::Stack);
    factor.bound(j, 0, s.block).bound(r, 0, rows);
    vectorizeLoop(factor, j, s.block, machine.lanes);
  }

  const int dLanes = dividingLanes(s.dim, machine.lanes);
  const Tile at = chooseTile(rows, s.dim / dLanes, s.sumRegisters);
  Var dOut("dOut"), dIn("dIn");
  acc.tile(d, r, dOut, ro, dIn, ri, at.vectors * dLanes, at.rows)
      .vectorize(dIn, dLanes)
      .unroll(dIn)
      .unroll(ri);
  sum.compute_at(acc, dOut).store_in(MemoryType::Stack);
  sum.vectorize(d, dLanes).unroll(d).unroll(r);
  sum.update()
      .split(d, vi, lane, dLanes)
      .reorder(lane, vi, r, rj)
      .vectorize(lane)
      .unroll(vi)
      .unroll(r);

  pinOutput(m, {{rows, 1}});
  pinOutput(l, {{rows, 1}});
  pinOutput(acc, {{s.dim, 1}, {rows, s.dim}});
  std::vector<ImageParam> inputs = {q, k, v, mIn, lIn, accIn};
  if (s.quantized())
    inputs.insert(inputs.begin() + 3, {ks, vs});
  Pipeline pipeline{inputs, {m, l, acc}, {limit}};
  if (s.tokens > 1)
    return pipeline;
  // One token is bound by memory, which must not idle while keys or values are
  // multiplied: each product asks for what the other one reads next.
  auto ask = [&](const char *buffer, const RVar &loop, int iterations,
                 int bytesAhead) {
    Prefetch &prefetch = pipeline.prefetches.emplace_back();
    prefetch.buffer = buffer;
    prefetch.loop = loop.name();
    prefetch.type = s.type;
    prefetch.elementsPerIteration = s.block * s.dim / iterations;
    prefetch.bytesAhead = bytesAhead;
    prefetch.streams = {0};
  };
  const int scaleBytes = s.quantized() ? 4 : 0;
  ask("v", rd.x, s.dim, 64); // the first line is too late
  ask("k", rj.x, s.block, s.block * (s.dim * s.type.bytes() + scaleBytes));
  return pipeline;
}

std::vector<Argument> attentionFinishArguments(const Params &) {
  return argumentList({"l", "acc"}, {"y"});
}

Pipeline buildAttentionFinish(const Params &params, const Machine &machine) {
  const int dim = params.size("dim"), group = params.size("group", 1);
  const int tokens = params.size("tokens", 1);
  const int yStride = params.size("y_stride", int64_t(group) * dim);
  ImageParam l = input("l", Float(32), {{group, 1}, {tokens, group}});
  ImageParam acc =
      input("acc", Float(32), {{dim, 1}, {group, dim}, {tokens, group * dim}});
  Var d("d"), g("g"), t("t");
  Func y("y");
  y(d, g, t) = strict_float(acc(d, g, t) / l(g, t));
  vectorizeLoop(y, d, dim, machine.lanes);
  pinOutput(y, {{dim, 1}, {group, dim}, {tokens, yStride}});
  return {{l, acc}, {y}, {}};
}

} // namespace lfmc::halide
