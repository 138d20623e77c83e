// SPDX-License-Identifier: Apache-2.0
#include "tests/codegen/halide/Harness.h"

namespace lfmc::halide::test {

bool Isa::runs() const {
#if defined(__x86_64__)
  std::string isa = name;
  if (isa == "v2")
    return __builtin_cpu_supports("sse4.1");
  if (isa == "v3")
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __builtin_cpu_supports("f16c");
  if (isa == "v4")
    return __builtin_cpu_supports("avx512f") &&
           __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq");
  // What the target below lets the compiler use, as far as Ice Lake and Zen 4
  // share it; ContractTest checks that nothing else is used.
  if (isa == "vnni")
    return __builtin_cpu_supports("avx512vnni") &&
           __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vbmi2") &&
           __builtin_cpu_supports("avx512bitalg") &&
           __builtin_cpu_supports("avx512vpopcntdq") &&
           __builtin_cpu_supports("gfni");
#endif
  return false;
}

const std::vector<Isa> &allIsas() {
  static const std::vector<Isa> isas = {
      {"v2", "x86-64-linux-sse41", 4, {4}},
      {"v3", "x86-64-linux-sse41-avx-avx2-f16c-fma", 8, {12}},
      {"v4", "x86-64-linux-avx512_skylake", 16, {8}},
      {"vnni", "x86-64-linux-avx512_zen4", 32, {6}},
  };
  return isas;
}

std::string Isa::emit(const MicroKernel &kernel, const std::string &symbol,
                      Emit what, const std::string &path) const {
  return halide::emit(kernel, symbol, target, what, path);
}

} // namespace lfmc::halide::test
