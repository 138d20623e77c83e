// SPDX-License-Identifier: Apache-2.0
#include "Cpu.h"

#include "lfm/program.h"

#include <unistd.h>
#ifdef __linux__
#include <sched.h>
#include <sys/syscall.h>
#endif
#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#elif defined(__APPLE__)
#include <sys/sysctl.h>
#endif
#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#define LFM_X86 1
#endif

namespace lfm_rt {

#ifdef LFM_X86
namespace {

struct Registers {
  uint32_t a = 0, b = 0, c = 0, d = 0;
};

Registers cpuid(uint32_t leaf, uint32_t subleaf) {
  Registers r;
  if (!__get_cpuid_count(leaf, subleaf, &r.a, &r.b, &r.c, &r.d))
    return Registers();
  return r;
}

// The register files that the operating system saves (XCR0).
uint64_t savedState(const Registers &leaf1) {
  if (!(leaf1.c & 1u << 27)) // OSXSAVE
    return 0;
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return static_cast<uint64_t>(high) << 32 | low;
}

bool requestAmx() {
#ifdef __linux__
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return true;
#endif
}

constexpr bool has(uint32_t value, uint32_t bits) {
  return (value & bits) == bits;
}

} // namespace

uint32_t cpuFeatures(uint32_t wanted) {
  Registers leaf1 = cpuid(1, 0), leaf7 = cpuid(7, 0), leaf71 = cpuid(7, 1);
  Registers extended = cpuid(0x80000001u, 0);
  uint64_t saved = savedState(leaf1);
  constexpr uint64_t kAvx = 0x6, kAvx512 = 0xe6, kAmx = 0x60000;

  uint32_t features = 0;
  // SSE3, SSSE3, CX16, SSE4.1, SSE4.2, POPCNT
  if (has(leaf1.c,
          1u << 0 | 1u << 9 | 1u << 13 | 1u << 19 | 1u << 20 | 1u << 23))
    features |= LFM_CPU_X86_V2;
  // FMA, MOVBE, AVX, F16C; BMI1, AVX2, BMI2; LZCNT
  if ((features & LFM_CPU_X86_V2) && (saved & kAvx) == kAvx &&
      has(leaf1.c, 1u << 12 | 1u << 22 | 1u << 28 | 1u << 29) &&
      has(leaf7.b, 1u << 3 | 1u << 5 | 1u << 8) && has(extended.c, 1u << 5)) {
    features |= LFM_CPU_X86_V3;
    if (has(leaf71.a, 1u << 4))
      features |= LFM_CPU_AVX_VNNI;
  }
  // F, DQ, CD, BW, VL
  if ((features & LFM_CPU_X86_V3) && (saved & kAvx512) == kAvx512 &&
      has(leaf7.b, 1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31)) {
    features |= LFM_CPU_X86_V4;
    // IFMA; VBMI, VBMI2, GFNI, VAES, VPCLMULQDQ, VNNI, BITALG, VPOPCNTDQ
    if (has(leaf7.b, 1u << 21) &&
        has(leaf7.c, 1u << 1 | 1u << 6 | 1u << 8 | 1u << 9 | 1u << 10 |
                         1u << 11 | 1u << 12 | 1u << 14))
      features |= LFM_CPU_AVX512_ICELAKE;
    if (has(leaf71.a, 1u << 5))
      features |= LFM_CPU_AVX512_BF16;
  }
  constexpr uint32_t kAmxBits = LFM_CPU_AMX_INT8 | LFM_CPU_AMX_BF16;
  // AMX-TILE
  if ((wanted & kAmxBits) && (saved & kAmx) == kAmx && has(leaf7.d, 1u << 24) &&
      requestAmx()) {
    if (has(leaf7.d, 1u << 25))
      features |= LFM_CPU_AMX_INT8;
    if (has(leaf7.d, 1u << 22))
      features |= LFM_CPU_AMX_BF16;
  }
  return features;
}
#elif defined(__aarch64__) && defined(__linux__)
uint32_t cpuFeatures(uint32_t) {
  struct Bit {
    unsigned long kind;
    int bit; // of the kernel's interface, arch/arm64/include/uapi/asm/hwcap.h
    uint32_t feature;
  };
  constexpr Bit kBits[] = {
      {AT_HWCAP, 20, LFM_CPU_ARM_DOTPROD}, {AT_HWCAP, 10, LFM_CPU_ARM_FP16},
      {AT_HWCAP, 23, LFM_CPU_ARM_FHM},     {AT_HWCAP2, 13, LFM_CPU_ARM_I8MM},
      {AT_HWCAP2, 14, LFM_CPU_ARM_BF16},   {AT_HWCAP2, 1, LFM_CPU_ARM_SVE2},
      {AT_HWCAP2, 37, LFM_CPU_ARM_SME2},   {AT_HWCAP2, 26, LFM_CPU_ARM_SME}};
  uint32_t features = 0;
  for (const Bit &one : kBits)
    if (getauxval(one.kind) >> one.bit & 1)
      features |= one.feature;
  return features;
}
#elif defined(__aarch64__) && defined(__APPLE__)
uint32_t cpuFeatures(uint32_t) {
  struct Name {
    const char *name;
    uint32_t feature;
  };
  constexpr Name kNames[] = {
      {"hw.optional.arm.FEAT_DotProd", LFM_CPU_ARM_DOTPROD},
      {"hw.optional.arm.FEAT_FP16", LFM_CPU_ARM_FP16},
      {"hw.optional.arm.FEAT_FHM", LFM_CPU_ARM_FHM},
      {"hw.optional.arm.FEAT_I8MM", LFM_CPU_ARM_I8MM},
      {"hw.optional.arm.FEAT_BF16", LFM_CPU_ARM_BF16},
      {"hw.optional.arm.FEAT_SME2", LFM_CPU_ARM_SME2},
      {"hw.optional.arm.SME_I8I32", LFM_CPU_ARM_SME}};
  uint32_t features = 0;
  for (const Name &one : kNames) {
    int value = 0;
    size_t bytes = sizeof value;
    if (sysctlbyname(one.name, &value, &bytes, nullptr, 0) == 0 && value)
      features |= one.feature;
  }
  return features;
}
#else
uint32_t cpuFeatures(uint32_t) { return 0; }
#endif

const char *cpuFeatureName(uint32_t missing) {
  switch (missing & -missing) {
  case LFM_CPU_X86_V2:
    return "SSE4.2 and POPCNT (x86-64-v2)";
  case LFM_CPU_X86_V3:
    return "AVX2, FMA, F16C and BMI2 (x86-64-v3)";
  case LFM_CPU_X86_V4:
    return "AVX-512 F, BW, CD, DQ and VL (x86-64-v4)";
  case LFM_CPU_AVX512_ICELAKE:
    return "AVX-512 VNNI, IFMA, VBMI, VBMI2, BITALG and VPOPCNTDQ";
  case LFM_CPU_AVX512_BF16:
    return "AVX-512 BF16";
  case LFM_CPU_AVX_VNNI:
    return "AVX-VNNI";
  case LFM_CPU_AMX_INT8:
    return "AMX-INT8";
  case LFM_CPU_AMX_BF16:
    return "AMX-BF16";
  case LFM_CPU_ARM_DOTPROD:
    return "dot product instructions (FEAT_DotProd)";
  case LFM_CPU_ARM_FP16:
    return "half-precision arithmetic (FEAT_FP16)";
  case LFM_CPU_ARM_FHM:
    return "half-precision products added to single (FEAT_FHM)";
  case LFM_CPU_ARM_I8MM:
    return "8-bit matrix instructions (FEAT_I8MM)";
  case LFM_CPU_ARM_BF16:
    return "BF16 instructions (FEAT_BF16)";
  case LFM_CPU_ARM_SVE2:
    return "SVE2";
  case LFM_CPU_ARM_SME2:
    return "SME2";
  case LFM_CPU_ARM_SME:
    return "outer products of 8-bit integers (SME_I8I32)";
  }
  return "instructions that this runtime does not know";
}

int allowedCpus() {
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) {
    int count = CPU_COUNT(&set);
    if (count > 0)
      return count;
  }
#endif
  long online = sysconf(_SC_NPROCESSORS_ONLN);
  return online > 0 ? static_cast<int>(online) : 1;
}

} // namespace lfm_rt
