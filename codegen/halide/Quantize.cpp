// SPDX-License-Identifier: Apache-2.0
//
// Families that write a quantized row of activations, for each block b of
// `group` (default: 32) columns of `width` (a multiple of it):
//   scale[b] = max |v[k]| / 127
//   q[k]     = v[k] * (1 / scale[b]), rounded to the nearest integer, ties to
//              even; -127 to 127
//   sum[b]   = sum of q[k]
// "vector" values (default: 32) are a vector on the way to codes.
// "raised" adds 128 to the codes, not to their sums. "limited": two neighbours
// (k and k + 1, k even) count in scale[b] with their sum, so that codes of two
// add up to at most 128 (codegen/llvm/micro/PairBlocks.cpp).
// A block whose scale would be below 2^-126 becomes zeros with scale 0.
//   quantize            v[k] = x[k]
//   rms_norm_quantize   v[k] = g[k] * x[k] / sqrt(mean of x^2 + eps), with the
//                       same bits as rms_norm and then quantize
//   quantize_heads      blocks are `heads` heads of `dim` values, without sums:
//                       q[h][i] at h * q_head_stride + i * q_elem_stride, a
//                       head's scale q_head_stride bytes behind the one before
#include "codegen/halide/Families.h"
#include "codegen/halide/Quantized.h"

#include <fmt/format.h>

#include <functional>

using namespace Halide;

namespace lfmc::halide {

namespace {

struct Row {
  int width, block, blocks, vector;
  bool raised, limited;

  explicit Row(const Params &params)
      : width(params.size("width")),
        block(params.size("group", activationBlock)), blocks(width / block),
        vector(params.integer("vector", activationBlock, 4, activationBlock)),
        raised(params.flag("raised")), limited(params.flag("limited")) {
    if (activationBlock % vector)
      params.fail("parameter 'vector' must divide 32");
    if (block % activationBlock)
      params.fail("parameter 'group' must be a multiple of 32");
    if (width % block)
      params.fail(
          fmt::format("parameter 'width' must be a multiple of {}", block));
  }
};

// Codes (i, b) and scales (b) of `count` blocks of `size` values (i, b).
struct Blocks {
  Func q, scale;
};

Blocks quantizeBlocks(int size, int count, int vector,
                      const std::function<Expr(Expr, Expr)> &value,
                      bool raised = false, bool limited = false) {
  Var i("i"), b("b");
  Func q("q"), scale("scale"), largest("largest"), inverse("inverse");
  // Magnitudes order like their bits, and integers reduce in a few shuffles.
  RDom all(0, size, "all");
  auto addSize = [&](Expr x) {
    largest(b) = max(largest(b), reinterpret<int32_t>(x) & 0x7fffffff);
  };
  largest(b) = 0;
  addSize(value(all, b));
  RDom pairs(0, size / 2, "pairs");
  if (limited)
    addSize(strict_float(value(2 * pairs, b) + value(2 * pairs + 1, b)));
  Expr unit = strict_float(reinterpret<float>(largest(b)) / 127.0f);
  scale(b) = select(unit >= 0x1p-126f, unit, 0.0f);
  inverse(b) = select(scale(b) > 0.0f,
                      strict_float(1.0f / max(scale(b), 0x1p-126f)), 0.0f);
  // Adding 1.5 * 2^23 rounds and leaves the integer in the low bits.
  const float magic = 12582912.0f;
  Expr shifted = strict_float(value(i, b) * inverse(b) + magic);
  q(i, b) =
      cast<int8_t>(reinterpret<int32_t>(shifted) -
                   reinterpret<int32_t>(Expr(magic)) + (raised ? 128 : 0));

  scale.compute_root();
  largest.compute_at(scale, b).store_in(MemoryType::Stack);
  auto inVectors = [&](int stage, const RDom &values, int lanes) {
    RVar outer("outer"), inner("inner");
    if (lanes > 1)
      largest.update(stage)
          .split(values, outer, inner, lanes)
          .reorder(inner, outer, b)
          .atomic()
          .vectorize(inner);
  };
  inVectors(0, all, dividingLanes(size, vector));
  if (limited)
    inVectors(1, pairs, dividingLanes(size / 2, vector / 2));
  q.compute_root().bound(b, 0, count);
  vectorizeLoop(q, i, size, vector);
  inverse.compute_at(q, b).store_in(MemoryType::Stack);
  return {q, scale};
}

// Outputs q, scale and sum of the row `value(k)`.
std::vector<Func> quantizeRow(const Row &row,
                              const std::function<Expr(Expr)> &value) {
  auto [q, scale] = quantizeBlocks(
      row.block, row.blocks, row.vector,
      [&](Expr i, Expr b) { return value(b * row.block + i); }, row.raised,
      row.limited);
  Var b("b");
  Func sum("sum"), total("total");
  RDom i(0, row.block, "i");
  total(b) = 0;
  total(b) += row.raised ? cast<int32_t>(reinterpret<uint8_t>(q(i, b))) - 128
                         : cast<int32_t>(q(i, b));
  sum(b) = total(b);
  sum.compute_root();
  total.compute_at(sum, b).store_in(MemoryType::Stack);
  total.update().reorder(i, b).atomic().vectorize(i);
  pinOutput(q, {{row.block, 1}, {row.blocks, row.block}});
  pinOutput(scale, {{row.blocks, 1}});
  pinOutput(sum, {{row.blocks, 1}});
  return {q, scale, sum};
}

} // namespace

std::vector<Argument> quantizeArguments(const Params &) {
  return argumentList({"x"}, {"q", "scale", "sum"});
}

Pipeline buildQuantize(const Params &params, const Machine &) {
  const Row row(params);
  ImageParam x = input("x", Float(32), {{row.width, 1}});
  return {{x}, quantizeRow(row, [&](Expr k) { return x(k); }), {}};
}

std::vector<Argument> rmsNormQuantizeArguments(const Params &) {
  return argumentList({"x", "g"}, {"q", "scale", "sum"});
}

Pipeline buildRmsNormQuantize(const Params &params, const Machine &machine) {
  const Row row(params);
  ImageParam x = input("x", Float(32), {{row.width, 1}});
  ImageParam g = input("g", Float(32), {{row.width, 1}});
  Func inverse = rmsInverse(params, machine, x, row.width);
  auto value = [&](Expr k) { return strict_float(g(k) * (x(k) * inverse(0))); };
  std::vector<Func> outputs = quantizeRow(row, value);
  inverse.compute_root();
  return {{x, g}, outputs, {}};
}

std::vector<Argument> quantizeHeadsArguments(const Params &) {
  return argumentList({"x"}, {"q", "scale"});
}

Pipeline buildQuantizeHeads(const Params &params, const Machine &) {
  const int dim = params.size("dim"), heads = params.size("heads", 1);
  const int elemStride = params.size("q_elem_stride", 1);
  const int headStride = params.size("q_head_stride", dim);
  if (headStride % 4)
    params.fail("parameter 'q_head_stride' must be a multiple of 4");
  ImageParam x = input("x", Float(32), {{dim, 1}, {heads, dim}});
  auto [q, scale] = quantizeBlocks(dim, heads, activationBlock,
                                   [&](Expr i, Expr h) { return x(i, h); });
  pinOutput(q, {{dim, elemStride}, {heads, headStride}});
  pinOutput(scale, {{heads, headStride / 4}});
  return {{x}, {q, scale}, {}};
}

} // namespace lfmc::halide
