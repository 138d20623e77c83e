// SPDX-License-Identifier: Apache-2.0
//
// short_conv: one token of the gated causal depthwise convolution,
//   y[c] = cg[c] * ((bias[c]) + sum over j < L-1 of w[j][c] * s[j][c]
//                   + w[L-1][c] * (b[c] * x[c]))
// over `channels` c, `taps` L; the state s[L-1][c] holds the last products b*x,
// oldest first.
//
// short_conv_push: moves the state on by this token, in place:
//   s[j] = s[j+1] for j < L-2, then s[L-2] = b * x.
#include "codegen/halide/Families.h"

using namespace Halide;

namespace lfmc::halide {

namespace {

struct Shape {
  int channels, taps, stateStride, weightStride;
  bool bias;
};

Shape readShape(const Params &params) {
  Shape s;
  s.channels = params.size("channels");
  s.taps = params.integer("taps", 3, 2, 64);
  s.stateStride = params.size("s_stride", s.channels);
  s.weightStride = params.size("w_stride", s.channels);
  s.bias = params.flag("bias");
  return s;
}

} // namespace

std::vector<Argument> shortConvArguments(const Params &params) {
  if (params.flag("bias"))
    return argumentList({"b", "cg", "x", "w", "bias", "s"}, {"y"});
  return argumentList({"b", "cg", "x", "w", "s"}, {"y"});
}

Pipeline buildShortConv(const Params &params, const Machine &machine) {
  const Shape s = readShape(params);
  ImageParam b = input("b", Float(32), {{s.channels, 1}});
  ImageParam cg = input("cg", Float(32), {{s.channels, 1}});
  ImageParam x = input("x", Float(32), {{s.channels, 1}});
  ImageParam w =
      input("w", Float(32), {{s.channels, 1}, {s.taps, s.weightStride}});
  ImageParam bias = input("bias", Float(32), {{s.channels, 1}});
  ImageParam state =
      input("s", Float(32), {{s.channels, 1}, {s.taps - 1, s.stateStride}});

  Var c("c");
  Func y("y");
  Expr sum = w(c, s.taps - 1) * (b(c) * x(c));
  for (int j = s.taps - 2; j >= 0; --j)
    sum += w(c, j) * state(c, j);
  if (s.bias)
    sum += bias(c);
  y(c) = cg(c) * sum;
  vectorizeLoop(y, c, s.channels, machine.lanes);
  pinOutput(y, {{s.channels, 1}});
  if (s.bias)
    return {{b, cg, x, w, bias, state}, {y}, {}};
  return {{b, cg, x, w, state}, {y}, {}};
}

std::vector<Argument> shortConvPushArguments(const Params &) {
  return argumentList({"b", "x"}, {"s"});
}

Pipeline buildShortConvPush(const Params &params, const Machine &machine) {
  const Shape s = readShape(params);
  ImageParam b = input("b", Float(32), {{s.channels, 1}});
  ImageParam x = input("x", Float(32), {{s.channels, 1}});

  // undef keeps what the buffer held. One pass over the channels, taps in order
  // within it: a pass per tap would copy rows, which becomes a call of memcpy.
  Var c("c"), v("v"), lane("lane");
  Func state("s");
  RDom tap(0, s.taps - 1, "tap");
  state(c, v) = undef<float>();
  state(c, tap) =
      select(tap < s.taps - 2, state(c, min(tap + 1, s.taps - 2)), b(c) * x(c));
  state.update().reorder(tap, c).unroll(tap);
  vectorizeLoop(state.update(), c, s.channels, machine.lanes);
  pinOutput(state, {{s.channels, 1}, {s.taps - 1, s.stateStride}});
  return {{b, x}, {state}, {}};
}

} // namespace lfmc::halide
