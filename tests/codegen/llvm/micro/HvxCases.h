// SPDX-License-Identifier: Apache-2.0
#ifndef LFMC_TESTS_CODEGEN_LLVM_MICRO_HVXCASES_H
#define LFMC_TESTS_CODEGEN_LLVM_MICRO_HVXCASES_H

#include "codegen/llvm/micro/Micro.h"

#include <string>
#include <vector>

namespace lfmc::halide::test {

inline const Target &hexagon(const std::string &version) {
  return *llvm::cantFail(findTarget("hexagon-" + version));
}

/// A kernel of floats and how many each of its buffers holds.
struct FloatCase {
  MicroKernel kernel;
  std::vector<int> sizes;
};
inline std::vector<FloatCase> floatCases() {
  return {
      {{"swiglu", {{"width", 256}}, {}}, {256, 256, 256}},
      {{"rms_norm", {{"width", 256}}, {{"eps", 1e-5}}}, {256, 256, 256}},
      {{"rope", {{"dim", 64}, {"heads", 4}}, {}}, {256, 64, 256}},
      {{"short_conv", {{"channels", 128}, {"taps", 3}}, {}},
       {128, 128, 128, 384, 256, 128}},
      {{"attention_finish", {{"dim", 64}, {"group", 4}}, {}}, {4, 256, 256}},
      {{"attention_block",
        {{"dim", 64}, {"group", 1}, {"block", 64}, {"lanes", 32}},
        {{"scale", 0.125}}},
       {64, 4096, 4096, 1, 1, 64, 1, 1, 64}}};
}

} // namespace lfmc::halide::test

#endif // LFMC_TESTS_CODEGEN_LLVM_MICRO_HVXCASES_H
