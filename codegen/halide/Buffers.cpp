// SPDX-License-Identifier: Apache-2.0
#include "codegen/halide/Family.h"

#include <fmt/format.h>

#include <cmath>

namespace lfmc::halide {

// Halide indexes buffers with 32-bit integers.
static constexpr int64_t sizeLimit = int64_t(1) << 30;

void Params::fail(const std::string &message) const {
  throw ParameterError(
      fmt::format("microkernel '{}': {}", kernel.family, message));
}

int Params::integer(const std::string &name, int64_t otherwise, int64_t low,
                    int64_t high) const {
  read.insert(name);
  auto it = kernel.ints.find(name);
  int64_t value = it == kernel.ints.end() ? otherwise : it->second;
  if (value < low || value > high)
    fail(fmt::format("parameter '{}' is {}, expected {} to {}", name, value,
                     low, high));
  return static_cast<int>(value);
}

int Params::size(const std::string &name) const {
  if (!kernel.ints.count(name))
    fail(fmt::format("parameter '{}' is missing", name));
  return integer(name, 0, 1, sizeLimit);
}

int Params::size(const std::string &name, int64_t otherwise) const {
  return integer(name, otherwise, 1, sizeLimit);
}

float Params::real(const std::string &name) const {
  read.insert(name);
  auto it = kernel.doubles.find(name);
  if (it == kernel.doubles.end())
    fail(fmt::format("parameter '{}' is missing", name));
  if (!std::isfinite(static_cast<float>(it->second)))
    fail(fmt::format("parameter '{}' is {}, expected a finite float", name,
                     it->second));
  return static_cast<float>(it->second);
}

void Params::checkAllRead() const {
  for (const auto &[name, value] : kernel.ints)
    if (!read.count(name))
      fail(fmt::format("unknown parameter '{}' (value {})", name, value));
  for (const auto &[name, value] : kernel.doubles)
    if (!read.count(name))
      fail(fmt::format("unknown parameter '{}' (value {})", name, value));
}

Storage storageParam(const Params &params, const std::string &name,
                     std::initializer_list<Storage> allowed) {
  int value = params.integer(name, 0, 0, 2);
  for (Storage storage : allowed)
    if (static_cast<int>(storage) == value)
      return storage;
  params.fail(fmt::format("parameter '{}' is {}, an element type that this "
                          "family does not store",
                          name, value));
}

Machine machineOf(const Halide::Target &target) {
  using Halide::Target;
  Machine machine{target.natural_vector_size(Halide::Float(32)), 16,
                  Dot::Signed};
  if (target.arch == Target::ARM || target.arch == Target::Hexagon ||
      target.has_feature(Target::AVX512) || machine.lanes == 16)
    machine.registers = 32;
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

} // namespace lfmc::halide
