// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/kernels/Peaks.h"

#include <immintrin.h>
#include <time.h>

#include <algorithm>
#include <cstdint>

namespace lfmc::halide::bench {

double threadSeconds() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return time.tv_sec + time.tv_nsec * 1e-9;
}

// Twelve independent chains cover the latency of two units. The empty asm keeps
// each value in a register and the loop from being folded.
#define LFMC_CHAINS(TYPE, SET, X, Y, STEP)                                     \
  [[maybe_unused]] TYPE x = SET(X);                                            \
  TYPE a[12], y = SET(Y);                                                      \
  for (int i = 0; i < 12; ++i)                                                 \
    a[i] = SET(i);                                                             \
  for (long n = 0; n < rounds; ++n) {                                          \
    _Pragma("clang loop unroll(full)") for (int i = 0; i < 12; ++i) {          \
      a[i] = STEP;                                                             \
      asm volatile("" : "+v"(a[i]));                                           \
    }                                                                          \
  }

static void chainsV2(long rounds) {
  LFMC_CHAINS(__m128, _mm_set1_ps, 0.999f, 0.001f,
              _mm_add_ps(_mm_mul_ps(a[i], x), y))
}
__attribute__((target("avx2,fma"))) static void chainsV3(long rounds) {
  LFMC_CHAINS(__m256, _mm256_set1_ps, 0.999f, 0.001f,
              _mm256_fmadd_ps(a[i], x, y))
}
__attribute__((target("avx512f"))) static void chainsV4(long rounds) {
  LFMC_CHAINS(__m512, _mm512_set1_ps, 0.999f, 0.001f,
              _mm512_fmadd_ps(a[i], x, y))
}

__attribute__((target("ssse3"))) static void productsV2(long rounds) {
  LFMC_CHAINS(__m128i, _mm_set1_epi8, 3, 5, _mm_maddubs_epi16(a[i], y))
}
__attribute__((target("avx2"))) static void productsV3(long rounds) {
  LFMC_CHAINS(__m256i, _mm256_set1_epi8, 3, 5, _mm256_maddubs_epi16(a[i], y))
}
__attribute__((target("avx512bw"))) static void productsV4(long rounds) {
  LFMC_CHAINS(__m512i, _mm512_set1_epi8, 3, 5, _mm512_maddubs_epi16(a[i], y))
}
__attribute__((target("avx512vnni"))) static void productsVnni(long rounds) {
  LFMC_CHAINS(__m512i, _mm512_set1_epi8, 3, 5, _mm512_dpbusd_epi32(a[i], x, y))
}

__attribute__((target("avx2,avxvnni"))) static void
productsV3Vnni(long rounds) {
  LFMC_CHAINS(__m256i, _mm256_set1_epi8, 3, 5,
              _mm256_dpbusd_avx_epi32(a[i], x, y))
}
__attribute__((target("amx-tile,amx-int8"))) static void
productsAmx(long rounds) {
  struct alignas(64) Config {
    uint8_t palette, zero[15];
    uint16_t bytes[16];
    uint8_t rows[16];
  };
  static const Config config = {1,
                                {},
                                {64, 64, 64, 64, 64, 64, 64, 64},
                                {16, 16, 16, 16, 16, 16, 16, 16}};
  _tile_loadconfig(&config);
  for (long n = 0; n < 3 * rounds; ++n) {
    _tile_dpbssd(0, 4, 6);
    _tile_dpbssd(1, 4, 7);
    _tile_dpbssd(2, 5, 6);
    _tile_dpbssd(3, 5, 7);
  }
  _tile_release();
}
__attribute__((target("avx512bf16,avx512f"))) static void
productsBf16(long rounds) {
  const __m512bh pairs = (__m512bh)_mm512_set1_epi32(0x3f7f3f7f);
  LFMC_CHAINS(__m512, _mm512_set1_ps, 0, 0,
              _mm512_dpbf16_ps(a[i], pairs, (__m512bh)y))
}

static auto chainsOf(Level level, Arithmetic arithmetic) {
  const bool products = arithmetic == Arithmetic::Int8;
  if (arithmetic == Arithmetic::Bf16 && level >= Level::Vnni)
    return productsBf16;
  switch (level) {
  case Level::V2:
    return products ? productsV2 : chainsV2;
  case Level::V3:
    return products ? productsV3 : chainsV3;
  case Level::V3Vnni:
    return products ? productsV3Vnni : chainsV3;
  case Level::V4:
    return products ? productsV4 : chainsV4;
  case Level::Amx:
    return products ? productsAmx : chainsV4;
  case Level::Vnni:
    break;
  }
  return products ? productsVnni : chainsV4;
}

void runChains(Level level, Arithmetic arithmetic, long rounds) {
  chainsOf(level, arithmetic)(rounds);
}

int products(Level level, Arithmetic arithmetic) {
  if (level == Level::Amx && arithmetic == Arithmetic::Int8)
    return 16 * 16 * 64;
  const bool avx2 = level == Level::V3 || level == Level::V3Vnni;
  const int lanes = level == Level::V2 ? 4 : avx2 ? 8 : 16;
  return arithmetic == Arithmetic::Int8                           ? 4 * lanes
         : arithmetic == Arithmetic::Bf16 && level >= Level::Vnni ? 2 * lanes
                                                                  : lanes;
}

// Products per second.
static double productRate(Level level, Arithmetic arithmetic) {
  const bool tiles = level == Level::Amx && arithmetic == Arithmetic::Int8;
  const long rounds = tiles ? 50000 : 1000000;
  double best = 0;
  for (int run = 0; run < 20; ++run) {
    double start = threadSeconds();
    runChains(level, arithmetic, rounds);
    best = std::max(best, rounds / (threadSeconds() - start));
  }
  return best * 12 * products(level, arithmetic);
}

double flopPeak(Level level) { return 2 * productRate(level, Arithmetic::F32); }

double productPeak(Level level) { return productRate(level, Arithmetic::Int8); }

double readPeak(const void *data, size_t bytes) {
  const char *start = static_cast<const char *>(data);
  double best = 0;
  for (int pass = 0; pass < 5; ++pass) {
    double begin = threadSeconds();
    __m128i a = _mm_setzero_si128(), b = a, c = a, d = a;
    for (const char *p = start; p + 64 <= start + bytes; p += 64) {
      _mm_prefetch(p + 4096, _MM_HINT_T0);
      auto part = [p](int i) {
        return _mm_loadu_si128(reinterpret_cast<const __m128i *>(p) + i);
      };
      a = _mm_xor_si128(a, part(0));
      b = _mm_xor_si128(b, part(1));
      c = _mm_xor_si128(c, part(2));
      d = _mm_xor_si128(d, part(3));
    }
    asm volatile("" : : "x"(a), "x"(b), "x"(c), "x"(d));
    best = std::max(best, bytes / (threadSeconds() - begin));
  }
  return best;
}

} // namespace lfmc::halide::bench
