// SPDX-License-Identifier: Apache-2.0
//
// rms_norm: y[h][i] = g[i] * x[h][i] / sqrt(mean over i of x[h][i]^2 + eps),
// for `heads` (default 1) adjacent groups of `width`.
#include "codegen/halide/Families.h"
#include "codegen/halide/Reduce.h"

using namespace Halide;

namespace lfmc::halide {

std::vector<Argument> rmsNormArguments(const Params &) {
  return argumentList({"x", "g"}, {"y"});
}

Pipeline buildRmsNorm(const Params &params, const Machine &machine) {
  const int width = params.size("width"), heads = params.size("heads", 1);
  const float eps = params.real("eps");
  ImageParam x = input("x", Float(32), {{width, 1}, {heads, width}});
  ImageParam g = input("g", Float(32), {{width, 1}});

  Var i("i"), h("h");
  Reduction squares(Reduction::Sum, "squares", width, machine,
                    [&](Expr i, Expr h) { return x(i, h) * x(i, h); });
  Func inverse("inverse"), y("y");
  inverse(h) = strict_float(1.0f / sqrt(squares(h) * (1.0f / width) + eps));
  y(i, h) = g(i) * (x(i, h) * inverse(h));

  vectorizeLoop(y, i, width, machine.lanes);
  inverse.compute_at(y, h).store_in(MemoryType::Stack);
  squares.computeAt(y, h);
  pinOutput(y, {{width, 1}, {heads, width}});
  return {{x, g}, {y}, {}};
}

} // namespace lfmc::halide
