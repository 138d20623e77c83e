// SPDX-License-Identifier: Apache-2.0
//
// Families that write a quantized row of activations, for each block b of 32
// columns of `width` (a multiple of 32):
//   scale[b] = max |v[k]| / 127
//   q[k]     = v[k] * (1 / scale[b]), rounded to the nearest integer, ties to
//              even; -127 to 127
//   sum[b]   = sum of q[k]
// A block whose scale would be below 2^-126 becomes zeros with scale 0.
//   quantize            v[k] = x[k]
//   rms_norm_quantize   v[k] = g[k] * x[k] / sqrt(mean of x^2 + eps), with the
//                       same bits as rms_norm and then quantize
#include "codegen/halide/Families.h"
#include "codegen/halide/Quantized.h"

#include <functional>

using namespace Halide;

namespace lfmc::halide {

namespace {

int widthOf(const Params &params) {
  const int width = params.size("width");
  if (width % activationBlock)
    params.fail("parameter 'width' must be a multiple of 32");
  return width;
}

// Outputs q, scale and sum of the row `value(k)`.
std::vector<Func> quantizeRow(int width,
                              const std::function<Expr(Expr)> &value) {
  Var k("k"), b("b");
  const int blocks = width / activationBlock;
  Func q("q"), scale("scale"), sum("sum");
  // Magnitudes order like their bits, and integers reduce in a few shuffles.
  RDom i(0, activationBlock, "i");
  Func largest("largest");
  largest(b) = 0;
  largest(b) =
      max(largest(b),
          reinterpret<int32_t>(value(b * activationBlock + i)) & 0x7fffffff);
  Expr unit = strict_float(reinterpret<float>(largest(b)) / 127.0f);
  scale(b) = select(unit >= 0x1p-126f, unit, 0.0f);

  Func inverse("inverse");
  inverse(b) = select(scale(b) > 0.0f,
                      strict_float(1.0f / max(scale(b), 0x1p-126f)), 0.0f);
  // Adding 1.5 * 2^23 rounds and leaves the integer in the low bits.
  const float magic = 12582912.0f;
  Expr shifted = strict_float(value(k) * inverse(k / activationBlock) + magic);
  q(k) = cast<int8_t>(reinterpret<int32_t>(shifted) -
                      reinterpret<int32_t>(Expr(magic)));

  Func total("total");
  total(b) = 0;
  total(b) += cast<int32_t>(q(b * activationBlock + i));

  sum(b) = total(b);

  Var block("block"), part("part");
  scale.compute_root();
  largest.compute_at(scale, b).store_in(MemoryType::Stack);
  largest.update().reorder(i, b).atomic().vectorize(i);
  q.compute_root().split(k, block, k, activationBlock);
  q.vectorize(k);
  inverse.compute_at(q, block).store_in(MemoryType::Stack);
  sum.compute_root();
  total.compute_at(sum, b).store_in(MemoryType::Stack);
  total.update().reorder(i, b).atomic().vectorize(i);
  pinOutput(q, {{width, 1}});
  pinOutput(scale, {{blocks, 1}});
  pinOutput(sum, {{blocks, 1}});
  return {q, scale, sum};
}

} // namespace

std::vector<Argument> quantizeArguments(const Params &) {
  return argumentList({"x"}, {"q", "scale", "sum"});
}

Pipeline buildQuantize(const Params &params, const Machine &) {
  const int width = widthOf(params);
  ImageParam x = input("x", Float(32), {{width, 1}});
  return {{x}, quantizeRow(width, [&](Expr k) { return x(k); }), {}};
}

std::vector<Argument> rmsNormQuantizeArguments(const Params &) {
  return argumentList({"x", "g"}, {"q", "scale", "sum"});
}

Pipeline buildRmsNormQuantize(const Params &params, const Machine &machine) {
  const int width = widthOf(params);
  ImageParam x = input("x", Float(32), {{width, 1}});
  ImageParam g = input("g", Float(32), {{width, 1}});
  Func inverse = rmsInverse(params, machine, x, width);
  auto value = [&](Expr k) { return strict_float(g(k) * (x(k) * inverse(0))); };
  std::vector<Func> outputs = quantizeRow(width, value);
  inverse.compute_root();
  return {{x, g}, outputs, {}};
}

} // namespace lfmc::halide
