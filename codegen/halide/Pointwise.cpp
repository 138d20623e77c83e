// SPDX-License-Identifier: Apache-2.0
//
// Elementwise families:
//   add     y[i] = a[i] + b[i]
//   swiglu  y[i] = silu(gate[i]) * up[i]
//   copy    y[h][i] = x[h][i], heads x dim dense in x, strided and f32, f16
//           or bf16 in y (values into their cache, rows for bf16 products)
#include "codegen/halide/Families.h"
#include "codegen/halide/Math.h"

using namespace Halide;

namespace lfmc::halide {

std::vector<Argument> addArguments(const Params &) {
  return argumentList({"a", "b"}, {"y"});
}

Pipeline buildAdd(const Params &params, const Machine &machine) {
  const int width = params.size("width");
  ImageParam a = input("a", Float(32), {{width, 1}});
  ImageParam b = input("b", Float(32), {{width, 1}});
  Var i("i");
  Func y("y");
  y(i) = a(i) + b(i);
  vectorizeLoop(y, i, width, machine.lanes);
  pinOutput(y, {{width, 1}});
  return {{a, b}, {y}, {}};
}

std::vector<Argument> swigluArguments(const Params &) {
  return argumentList({"gate", "up"}, {"y"});
}

Pipeline buildSwiglu(const Params &params, const Machine &machine) {
  const int width = params.size("width");
  ImageParam gate = input("gate", Float(32), {{width, 1}});
  ImageParam up = input("up", Float(32), {{width, 1}});
  Var i("i");
  Func y("y");
  y(i) = siluF32(gate(i)) * up(i);
  vectorizeLoop(y, i, width, machine.lanes);
  pinOutput(y, {{width, 1}});
  return {{gate, up}, {y}, {}};
}

std::vector<Argument> copyArguments(const Params &) {
  return argumentList({"x"}, {"y"});
}

Pipeline buildCopy(const Params &params, const Machine &machine) {
  const int dim = params.size("dim"), heads = params.size("heads", 1);
  const int headStride = params.size("y_head_stride", dim);
  const int elemStride = params.size("y_elem_stride", 1);
  const Storage type = storageParam(
      params, "ytype", {Storage::F32, Storage::BF16, Storage::F16});
  ImageParam x = input("x", Float(32), {{dim, 1}, {heads, dim}});
  Var i("i"), h("h");
  Func y("y");
  y(i, h) = storedAs(x(i, h), type);
  vectorizeLoop(y, i, dim, machine.lanes);
  pinOutput(y, {{dim, elemStride}, {heads, headStride}});
  return {{x}, {y}, {}};
}

} // namespace lfmc::halide
