// SPDX-License-Identifier: Apache-2.0
//
// Checked access to the parameters of a microkernel, for every backend.
#ifndef LFMC_CODEGEN_HALIDE_PARAMS_H
#define LFMC_CODEGEN_HALIDE_PARAMS_H

#include "codegen/halide/MicroKernel.h"

#include <set>
#include <stdexcept>
#include <string>

namespace lfmc::halide {

/// A parameter is missing, unknown or out of range. emit() turns it into its
/// message.
struct ParameterError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Read access to a kernel's parameters. Every getter checks the range and
/// remembers the name; checkAllRead() then rejects names that no getter asked
/// for, so a misspelt optional parameter is an error.
class Params {
public:
  explicit Params(const MicroKernel &kernel) : kernel(kernel) {}

  /// A required integer in [1, limit]: an extent or a stride.
  int size(const std::string &name) const;
  /// The same with a default.
  int size(const std::string &name, int64_t otherwise) const;
  /// An integer in [low, high].
  int integer(const std::string &name, int64_t otherwise, int64_t low,
              int64_t high) const;
  bool flag(const std::string &name) const {
    return integer(name, 0, 0, 1) != 0;
  }
  /// A required finite float.
  float real(const std::string &name) const;

  /// Throws ParameterError "family: message".
  [[noreturn]] void fail(const std::string &message) const;
  void checkAllRead() const;

private:
  const MicroKernel &kernel;
  mutable std::set<std::string> read;
};

} // namespace lfmc::halide

#endif // LFMC_CODEGEN_HALIDE_PARAMS_H
