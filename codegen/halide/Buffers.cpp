// SPDX-License-Identifier: Apache-2.0
#include "codegen/halide/Family.h"

#include <fmt/format.h>

#include <algorithm>

namespace lfmc::halide {

Storage storageParam(const Params &params, const std::string &name,
                     std::initializer_list<Storage> allowed) {
  int value = params.integer(name, 0, 0, 3);
  for (Storage storage : allowed)
    if (static_cast<int>(storage) == value)
      return storage;
  params.fail(fmt::format("parameter '{}' is {}, an element type that this "
                          "family does not store",
                          name, value));
}

Halide::Expr storedAs(Halide::Expr value, Storage storage) {
  using namespace Halide;
  if (storage != Storage::BF16)
    return cast(storage == Storage::F16 ? Float(16) : Float(32), value);
  // Instructions that convert to bf16 flush subnormals.
  Expr bits = reinterpret<uint32_t>(value);
  Expr up = Expr(uint32_t(0x7fff)) + ((bits >> 16) & Expr(uint32_t(1)));
  return reinterpret(BFloat(16), cast<uint16_t>((bits + up) >> 16));
}

Machine machineOf(const Halide::Target &target) {
  using Halide::Target;
  Machine machine{target.natural_vector_size(Halide::Float(32)), 16,
                  Dot::Signed};
  if (target.arch == Target::ARM ||
      target.has_feature(Target::AVX512) || machine.lanes == 16)
    machine.registers = 32;
  // Stands for a processor that Halide does not know (targets/Target.cpp).
  if (target.has_feature(Target::NoNEON))
    machine.lanes = std::max(1, target.vector_bits / 32);
  if (target.arch == Target::X86)
    machine.dot =
        target.features_any_of({Target::AVX512_Zen4, Target::AVX512_Zen5,
                                Target::AVX512_SapphireRapids})
            ? Dot::Unsigned
            : Dot::Pairs;
  return machine;
}

Halide::ImageParam input(const std::string &name, Halide::Type type,
                         const std::vector<Dim> &dims) {
  Halide::ImageParam param(type, static_cast<int>(dims.size()), name);
  for (size_t i = 0; i < dims.size(); ++i)
    param.dim(i).set_bounds(0, dims[i].extent).set_stride(dims[i].stride);
  return param;
}

void pinOutput(Halide::Func &func, const std::vector<Dim> &dims) {
  for (size_t i = 0; i < dims.size(); ++i)
    func.output_buffer()
        .dim(i)
        .set_bounds(0, dims[i].extent)
        .set_stride(dims[i].stride);
}

int dividingLanes(int extent, int lanes) {
  while (extent % lanes)
    lanes /= 2;
  return lanes;
}

std::vector<Argument> argumentList(const std::vector<std::string> &inputs,
                                   const std::vector<std::string> &outputs,
                                   const std::vector<std::string> &scalars) {
  std::vector<Argument> list;
  for (const std::string &name : inputs)
    list.push_back({name, Argument::Input});
  for (const std::string &name : outputs)
    list.push_back({name, Argument::Output});
  for (const std::string &name : scalars)
    list.push_back({name, Argument::Scalar});
  return list;
}

void inPasses(Halide::Func &acc, Halide::Func &sums, int tileRows, int rows,
              int vector) {
  using namespace Halide;
  Var r = sums.args()[0], t = sums.args()[1], p = sums.args()[2];
  Var pass("pass"), v("v"), lane("lane");
  sums.compute_root().store_in(MemoryType::Stack).bound(r, 0, rows);
  sums.split(r, pass, r, tileRows).split(r, v, lane, vector);
  sums.reorder(lane, v, t, p, pass).vectorize(lane);
  sums.unroll(v).unroll(t).unroll(p);
  acc.compute_at(sums, pass).store_in(MemoryType::Stack);
  acc.bound_extent(acc.args()[0], tileRows);
}

} // namespace lfmc::halide
