// SPDX-License-Identifier: Apache-2.0
//
// rope: rotary position embedding of `heads` heads of `dim` values (dense in
// x), after an optional RMS norm of each head. The first `rot` (default dim)
// values rotate in pairs (i, i + rot/2) by table = [cos[rot/2], sin[rot/2]];
// the rest is copied. y may be strided and f16, so that keys go straight to
// their cache.
#include "codegen/halide/Families.h"
#include "codegen/halide/Reduce.h"

using namespace Halide;

namespace lfmc::halide {

std::vector<Argument> ropeArguments(const Params &params) {
  if (params.flag("norm"))
    return argumentList({"x", "g", "table"}, {"y"});
  return argumentList({"x", "table"}, {"y"});
}

Pipeline buildRope(const Params &params, const Machine &machine) {
  const int dim = params.size("dim"), heads = params.size("heads", 1);
  const int rot = params.size("rot", dim), half = rot / 2;
  const int headStride = params.size("y_head_stride", dim);
  const int elemStride = params.size("y_elem_stride", 1);
  const bool norm = params.flag("norm");
  const float eps = norm ? params.real("eps") : 0.0f;
  const Type type = storageParam(params, "ytype",
                                 {Storage::F32, Storage::F16}) == Storage::F16
                        ? Float(16)
                        : Float(32);
  if (rot % 2 || rot > dim)
    params.fail("parameter 'rot' must be even and at most 'dim'");
  ImageParam x = input("x", Float(32), {{dim, 1}, {heads, dim}});
  ImageParam g = input("g", Float(32), {{dim, 1}});
  ImageParam table = input("table", Float(32), {{rot, 1}});

  Var i("i"), h("h");
  Reduction squares(Reduction::Sum, "squares", dim, machine,
                    [&](Expr i, Expr h) { return x(i, h) * x(i, h); });
  Func inverse("inverse"), y("y");
  inverse(h) = strict_float(1.0f / sqrt(squares(h) * (1.0f / dim) + eps));
  auto value = [&](Expr i) -> Expr {
    return norm ? g(i) * (x(i, h) * inverse(h)) : x(i, h);
  };
  RDom low(0, half, "low"), high(0, half, "high");
  y(i, h) = undef(type);
  y(low, h) = cast(type, value(low) * table(low) -
                             value(low + half) * table(low + half));
  y(high + half, h) = cast(type, value(high + half) * table(high) +
                                     value(high) * table(high + half));
  vectorizeLoop(y.update(0), low.x, half, machine.lanes);
  vectorizeLoop(y.update(1), high.x, half, machine.lanes);
  if (rot < dim) {
    RDom rest(0, dim - rot, "rest");
    y(rest + rot, h) = cast(type, value(rest + rot));
    vectorizeLoop(y.update(2), rest.x, dim - rot, machine.lanes);
  }
  if (norm) {
    inverse.compute_root().store_in(MemoryType::Stack);
  }
  pinOutput(y, {{dim, elemStride}, {heads, headStride}});
  if (norm)
    return {{x, g, table}, {y}, {}};
  return {{x, table}, {y}, {}};
}

} // namespace lfmc::halide
