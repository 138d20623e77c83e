// SPDX-License-Identifier: Apache-2.0
#ifndef LFMC_CODEGEN_PACK_SIMD_H
#define LFMC_CODEGEN_PACK_SIMD_H

/// In front of a function with a hot loop: compiled for several levels of
/// x86-64, the processor chooses when the program is loaded.
#if defined(__x86_64__) && defined(__ELF__) && !defined(LFMC_SANITIZE)
#define LFMC_SIMD                                                              \
  __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define LFMC_SIMD
#endif

#endif // LFMC_CODEGEN_PACK_SIMD_H
