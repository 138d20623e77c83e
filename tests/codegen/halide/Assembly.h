// SPDX-License-Identifier: Apache-2.0
//
// The assembly of a kernel, for tests that count instructions.
#ifndef LFMC_TESTS_CODEGEN_HALIDE_ASSEMBLY_H
#define LFMC_TESTS_CODEGEN_HALIDE_ASSEMBLY_H

#include "tests/codegen/halide/Harness.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <unistd.h>

namespace lfmc::halide::test {

/// What `emit(Emit::Assembly, path)` writes.
template <typename EmitTo>
std::string assemblyBy(EmitTo emit) {
  const std::string path = std::filesystem::path(::testing::TempDir()) /
                           ("lfmc_" + std::to_string(getpid()) + ".s");
  EXPECT_EQ(emit(Emit::Assembly, path), "");
  std::ifstream in(path);
  std::string text(std::istreambuf_iterator<char>(in), {});
  std::filesystem::remove(path);
  return text;
}

/// The assembly of `kernel` for the instruction set named `isa`.
inline std::string assembly(const MicroKernel &kernel, const std::string &isa) {
  for (const Isa &candidate : allIsas())
    if (candidate.name == isa)
      return assemblyBy([&](Emit what, const std::string &path) {
        return candidate.emit(kernel, "kernel", what, path);
      });
  ADD_FAILURE() << "no instruction set " << isa;
  return "";
}

/// Instructions that match `pattern` ("mnemonic\toperands").
inline long count(const std::string &text, const std::string &pattern) {
  const std::regex regex("\\n\\t(\\{[a-z0-9]+\\}\\t)?" + pattern);
  return std::distance(std::sregex_iterator(text.begin(), text.end(), regex),
                       std::sregex_iterator());
}

/// linear_q over 2048 columns.
inline MicroKernel quantizedTile(int wtype, int rows, int tokens) {
  return {"linear_q",
          {{"wtype", wtype}, {"rows", rows}, {"tokens", tokens}, {"k", 2048}},
          {}};
}

} // namespace lfmc::halide::test

#endif // LFMC_TESTS_CODEGEN_HALIDE_ASSEMBLY_H
