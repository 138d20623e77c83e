// SPDX-License-Identifier: Apache-2.0
//
// embed_q: y[k] = s[k / block] * (code - offset) (+ m[k / block]), row `lane`
// (a scalar) of the quantized panel (Quantized.h) of `rows` rows and `width`
// columns at w.
#include "codegen/halide/Families.h"
#include "codegen/halide/Quantized.h"

using namespace Halide;

namespace lfmc::halide {

std::vector<Argument> embedQArguments(const Params &) {
  return argumentList({"w"}, {"y"}, {"lane"});
}

Pipeline buildEmbedQ(const Params &params, const Machine &) {
  const QuantizedPanels w(params, "width", false);
  Param<int32_t> lane("lane", 0, 0, w.rows - 1);

  Var k("k"), i("i"), j("j"), b("b");
  Func y("y");
  const Expr row = lane;
  const Expr column = k % activationBlock;
  const Expr group = column / w.depth, place = column % w.depth;
  const Expr block = k / activationBlock;
  const Expr low = w.low(place, row, group, block, 0);
  Expr code = w.isQ8() && !w.raised ? cast<int16_t>(reinterpret<int8_t>(low))
                                    : cast<int16_t>(low);
  if (w.isQ6())
    code += cast<int16_t>(w.high(place, row, group, block, 0)) * 16;
  code -= cast<int16_t>(w.offset());
  Expr value = strict_float(cast<float>(code) * w.scale(row, block, 0));
  if (w.hasMinimum())
    value = strict_float(value + w.minimum(row, block, 0));
  y(k) = value;

  // Vectors of `depth` bytes: wider loads could reach past the weights.
  y.split(k, b, k, activationBlock).split(k, i, j, w.depth);
  y.reorder(j, i, b).vectorize(j).unroll(i);
  pinOutput(y, {{w.k, 1}});
  Pipeline pipeline{{w.codes}, {y}, {lane}};
  pipeline.aliases = w.aliases();
  return pipeline;
}

} // namespace lfmc::halide
