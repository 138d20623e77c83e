// SPDX-License-Identifier: Apache-2.0
//
// rms_norm: y[h][i] = g[i] * x[h][i] / sqrt(mean over i of x[h][i]^2 + eps),
// for `heads` (default 1) adjacent groups of `width`. y is f32 or bf16.
#include "codegen/halide/Families.h"
#include "codegen/halide/Reduce.h"

using namespace Halide;

namespace lfmc::halide {

std::vector<Argument> rmsNormArguments(const Params &) {
  return argumentList({"x", "g"}, {"y"});
}

Func rmsInverse(const Params &params, const Machine &machine,
                const ImageParam &x, int width) {
  const float eps = params.real("eps");
  Var h("h");
  Reduction squares(Reduction::Sum, "squares", width, machine,
                    [&](Expr i, Expr h) {
                      Expr value = x.dimensions() > 1 ? x(i, h) : x(i);
                      return value * value;
                    });
  Func inverse("inverse");
  inverse(h) = strict_float(1.0f / sqrt(squares(h) * (1.0f / width) + eps));
  inverse.store_in(MemoryType::Stack);
  squares.computeAt(inverse, h);
  return inverse;
}

Pipeline buildRmsNorm(const Params &params, const Machine &machine) {
  const int width = params.size("width"), heads = params.size("heads", 1);
  ImageParam x = input("x", Float(32), {{width, 1}, {heads, width}});
  ImageParam g = input("g", Float(32), {{width, 1}});

  Var i("i"), h("h");
  Func inverse = rmsInverse(params, machine, x, width), y("y");
  y(i, h) =
      storedAs(strict_float(g(i) * (x(i, h) * inverse(h))),
               storageParam(params, "ytype", {Storage::F32, Storage::BF16}));

  vectorizeLoop(y, i, width, machine.lanes);
  inverse.compute_at(y, h);
  pinOutput(y, {{width, 1}, {heads, width}});
  return {{x, g}, {y}, {}};
}

} // namespace lfmc::halide
