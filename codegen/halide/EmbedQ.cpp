// SPDX-License-Identifier: Apache-2.0
//
// embed_q: y[k] = s[k / block] * (code - offset), row `lane` (a scalar) of the
// quantized panel (Quantized.h) of `rows` rows and `width` columns at w.
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
  const Expr byte =
      w.byte(column % w.depth, row, column / w.depth, k / activationBlock, 0);
  Expr code;
  if (w.isQ4())
    code = select(column / w.depth % 2 == 0, byte & cast<uint8_t>(15),
                  byte >> cast<uint8_t>(4)) -
           cast<int16_t>(8);
  else
    code = reinterpret<int8_t>(byte);
  y(k) = strict_float(cast<float>(code) * w.scale(row, k / activationBlock, 0));

  // Vectors of `depth` bytes: wider loads could reach past the weights.
  y.split(k, b, k, activationBlock).split(k, i, j, w.depth);
  y.reorder(j, i, b).vectorize(j).unroll(i);
  pinOutput(y, {{w.k, 1}});
  Pipeline pipeline{{w.codes}, {y}, {lane}};
  pipeline.aliases = {{w.scales, "w"}};
  return pipeline;
}

} // namespace lfmc::halide
