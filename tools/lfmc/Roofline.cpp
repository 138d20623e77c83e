// SPDX-License-Identifier: Apache-2.0
#include "tools/lfmc/Roofline.h"

#include "frontend/Errors.h"

#include <atomic>
#include <chrono>
#include <functional>
#include <sched.h>
#include <sys/mman.h>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace lfmc::cli {
namespace {

// Runs `work(thread)` on all threads at once, started together; the seconds
// from the common start to the end of the slowest.
double timeTogether(int threads, const std::function<void(int)> &work) {
  using Clock = std::chrono::steady_clock;
  std::atomic<int> ready{0};
  std::atomic<bool> go{false};
  std::vector<std::thread> team;
  for (int i = 0; i < threads; ++i)
    team.emplace_back([&, i] {
      ++ready;
      while (!go)
        sched_yield();
      work(i);
    });
  while (ready < threads)
    sched_yield();
  Clock::time_point start = Clock::now();
  go = true;
  for (std::thread &thread : team)
    thread.join();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// The value is used so that the work stays.
std::atomic<uint64_t> sink;

// Vector types of the compiler: the loops are written once and compiled for
// each level below.
using Words512 [[gnu::vector_size(64)]] = uint64_t;

template <int Unroll>
[[gnu::always_inline]] inline uint64_t streamBody(const uint8_t *data,
                                                  uint64_t bytes) {
  Words512 sums[Unroll] = {};
  for (uint64_t at = 0; at + Unroll * 64 <= bytes; at += Unroll * 64)
    for (int i = 0; i < Unroll; ++i)
      sums[i] += *reinterpret_cast<const Words512 *>(data + at + i * 64);
  for (int i = 1; i < Unroll; ++i)
    sums[0] += sums[i];
  uint64_t total = 0;
  for (int i = 0; i < 8; ++i)
    total += sums[0][i];
  return total;
}

#if defined(__x86_64__)

[[gnu::target("avx512f")]] uint64_t stream512(const uint8_t *data,
                                              uint64_t bytes) {
  return streamBody<8>(data, bytes);
}

[[gnu::target("avx2")]] uint64_t stream256(const uint8_t *data,
                                           uint64_t bytes) {
  return streamBody<4>(data, bytes);
}

// Twelve chains hide the latency of two multiply-adds a cycle, and fit sixteen
// registers with the two factors.
[[gnu::target("avx512f")]] float fma512(int64_t rounds) {
  __m512 sums[12], a = _mm512_set1_ps(1.0000001f), b = _mm512_set1_ps(1e-9f);
  for (__m512 &sum : sums)
    sum = _mm512_set1_ps(1);
  for (int64_t round = 0; round < rounds; ++round) {
    for (__m512 &sum : sums)
      sum = _mm512_fmadd_ps(sum, a, b);
    // Keeps the compiler from folding rounds.
    asm volatile("" : "+v"(a), "+v"(b));
  }
  float total = 0;
  for (__m512 &sum : sums)
    total += _mm512_reduce_add_ps(sum);
  return total;
}

[[gnu::target("avx2,fma")]] float fma256(int64_t rounds) {
  __m256 sums[12], a = _mm256_set1_ps(1.0000001f), b = _mm256_set1_ps(1e-9f);
  for (__m256 &sum : sums)
    sum = _mm256_set1_ps(1);
  for (int64_t round = 0; round < rounds; ++round) {
    for (__m256 &sum : sums)
      sum = _mm256_fmadd_ps(sum, a, b);
    asm volatile("" : "+x"(a), "+x"(b));
  }
  float total = 0;
  for (__m256 &sum : sums)
    for (int i = 0; i < 8; ++i)
      total += sum[i];
  return total;
}

#endif

uint64_t streamBase(const uint8_t *data, uint64_t bytes) {
  return streamBody<2>(data, bytes);
}

float fma128(int64_t rounds) {
  using Quad [[gnu::vector_size(16)]] = float;
  Quad sums[12], a = {1.0000001f, 1.0000001f, 1.0000001f, 1.0000001f},
                 b = {1e-9f, 1e-9f, 1e-9f, 1e-9f};
  for (Quad &sum : sums)
    sum = a;
  for (int64_t round = 0; round < rounds; ++round) {
    for (Quad &sum : sums)
      sum = sum * a + b;
    asm volatile("" : "+m"(a), "+m"(b));
  }
  float total = 0;
  for (Quad &sum : sums)
    total += sum[0] + sum[1] + sum[2] + sum[3];
  return total;
}

} // namespace

int fmaVectorBits() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f"))
    return 512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    return 256;
#endif
  return 128;
}

llvm::Expected<double> measureReadBandwidth(int threads, uint64_t bytes,
                                            int repeat) {
  constexpr uint64_t huge = 2 << 20;
  uint64_t share = (bytes / threads + huge - 1) / huge * huge;
  uint64_t total = share * threads;
  void *memory = mmap(nullptr, total + huge, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED)
    return makeError("cannot map {} bytes to measure the bandwidth", total);
  auto *data = reinterpret_cast<uint8_t *>(
      (reinterpret_cast<uintptr_t>(memory) + huge - 1) / huge * huge);
  madvise(data, total, MADV_HUGEPAGE);
  // Each thread touches its own share first: on machines with several memories
  // it is the near one.
  timeTogether(threads, [&](int thread) {
    std::fill_n(data + thread * share, share, uint8_t(thread + 1));
  });
  auto *stream = &streamBase;
#if defined(__x86_64__)
  if (fmaVectorBits() == 512)
    stream = &stream512;
  else if (fmaVectorBits() == 256)
    stream = &stream256;
#endif
  double best = 0;
  for (int i = 0; i < repeat; ++i) {
    double seconds = timeTogether(threads, [&](int thread) {
      sink += stream(data + thread * share, share);
    });
    best = std::max(best, double(total) / seconds);
  }
  munmap(memory, total + huge);
  return best;
}

double measureFmaPeak(int threads, int repeat) {
  auto *work = &fma128;
#if defined(__x86_64__)
  if (fmaVectorBits() == 512)
    work = &fma512;
  else if (fmaVectorBits() == 256)
    work = &fma256;
#endif
  // About 50 ms a pass.
  constexpr int64_t rounds = 20'000'000;
  double flops = 2.0 * 12 * (fmaVectorBits() / 32) * double(rounds) * threads;
  double best = 0;
  for (int i = 0; i < repeat; ++i) {
    double seconds =
        timeTogether(threads, [&](int) { sink += uint64_t(work(rounds) > 0); });
    best = std::max(best, flops / seconds);
  }
  return best;
}

} // namespace lfmc::cli
