// SPDX-License-Identifier: Apache-2.0
#include "codegen/halide/Params.h"

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

} // namespace lfmc::halide
