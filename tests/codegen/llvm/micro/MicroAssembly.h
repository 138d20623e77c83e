// SPDX-License-Identifier: Apache-2.0
#ifndef LFMC_TESTS_CODEGEN_LLVM_MICRO_MICROASSEMBLY_H
#define LFMC_TESTS_CODEGEN_LLVM_MICRO_MICROASSEMBLY_H

#include "tests/codegen/halide/Assembly.h"
#include "tests/codegen/halide/QuantizedFixture.h"

#include "codegen/llvm/micro/Micro.h"

namespace lfmc::halide::test {

inline std::string assemblyFor(const MicroKernel &kernel, const char *target) {
  return assemblyBy([&](Emit what, const std::string &path) {
    return emitMicro(kernel, "kernel", *llvm::cantFail(findTarget(target)),
                     what, path);
  });
}

/// One step of attention over an f16 cache.
inline MicroKernel attentionStep(int tokens, int block) {
  return {"attention_block",
          {{"dim", 64},
           {"group", 2},
           {"tokens", tokens},
           {"block", block},
           {"kvtype", 2}},
          {{"scale", 0.125}}};
}

} // namespace lfmc::halide::test

#endif // LFMC_TESTS_CODEGEN_LLVM_MICRO_MICROASSEMBLY_H
