// SPDX-License-Identifier: Apache-2.0
#include "tools/lfmc/Roofline.h"

#include "frontend/Errors.h"
#include "lfm/program.h"

#include "llvm/Support/MathExtras.h"

#include <atomic>
#include <chrono>
#include <functional>
#include <sched.h>
#include <sys/mman.h>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include "benchmarks/kernels/Peaks.h"
#endif

using namespace llvm;

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

#endif

uint64_t streamBase(const uint8_t *data, uint64_t bytes) {
  return streamBody<2>(data, bytes);
}

#if defined(__x86_64__)

using Level = halide::bench::Level;

// The peaks of code that needs `features`.
Level levelOf(uint32_t features) {
  if (features & LFM_CPU_AMX_INT8)
    return Level::Amx;
  if (features & (LFM_CPU_AVX512_ICELAKE | LFM_CPU_AVX512_BF16))
    return Level::Vnni;
  if (features & LFM_CPU_X86_V4)
    return Level::V4;
  if (features & LFM_CPU_AVX_VNNI)
    return Level::V3Vnni;
  return features & LFM_CPU_X86_V3 ? Level::V3 : Level::V2;
}

#else

// Without vectors of its own this measures what the compiler makes of it.
void multiplyAdds(int64_t rounds) {
  using Quad [[gnu::vector_size(16)]] = float;
  Quad sums[12] = {}, a = {0.999f, 0.999f, 0.999f, 0.999f},
       b = {1e-3f, 1e-3f, 1e-3f, 1e-3f};
  for (int64_t round = 0; round < rounds; ++round)
    for (Quad &sum : sums) {
      sum = sum * a + b;
      asm volatile("" : "+m"(sum));
    }
}

#endif

} // namespace

Roofline::Memory::~Memory() {
  if (mapped)
    munmap(mapped, bytes);
}

Expected<Roofline> Roofline::create(int threads, uint32_t cpuFeatures,
                                    Arithmetic arithmetic, uint64_t bytes) {
  constexpr uint64_t huge = 2 << 20;
  Roofline roofline;
  roofline.threads = threads;
  roofline.features = cpuFeatures;
  roofline.arithmetic = arithmetic;
  roofline.memory = std::make_unique<Memory>();
  Memory &memory = *roofline.memory;
  memory.share = alignTo(bytes / uint64_t(threads), huge);
  uint64_t total = memory.share * uint64_t(threads);
  void *mapped = mmap(nullptr, total + huge, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED)
    return makeError("cannot map {} bytes to measure the bandwidth", total);
  memory.mapped = mapped;
  memory.bytes = total + huge;
  memory.data = reinterpret_cast<uint8_t *>(
      alignTo(reinterpret_cast<uintptr_t>(mapped), huge));
  madvise(memory.data, total, MADV_HUGEPAGE);
  // Each thread touches its own share first: on machines with several memories
  // it is the near one.
  timeTogether(threads, [&](int thread) {
    std::fill_n(memory.data + uint64_t(thread) * memory.share, memory.share,
                uint8_t(thread + 1));
  });
  return roofline;
}

double Roofline::readBandwidth() const {
  auto *stream = &streamBase;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f"))
    stream = &stream512;
  else if (__builtin_cpu_supports("avx2"))
    stream = &stream256;
#endif
  double best = 0;
  for (int pass = 0; pass < 3; ++pass) {
    double seconds = timeTogether(threads, [&](int thread) {
      sink += stream(memory->data + uint64_t(thread) * memory->share,
                     memory->share);
    });
    best = std::max(best, double(memory->share) * threads / seconds);
  }
  return best;
}

double Roofline::arithmeticPeak() const {
#if defined(__x86_64__)
  Level level = levelOf(features);
  auto kind = halide::bench::Arithmetic(arithmetic);
  int lanes = halide::bench::products(level, kind);
  auto work = [&](long rounds) {
    halide::bench::runChains(level, kind, rounds);
  };
#else
  int lanes = 4;
  auto work = [](long rounds) { multiplyAdds(rounds); };
#endif
  // About 20 ms a pass.
  constexpr long rounds = 10'000'000;
  double best = 0;
  for (int pass = 0; pass < 3; ++pass) {
    double seconds = timeTogether(threads, [&](int) { work(rounds); });
    best = std::max(best, 2.0 * 12 * lanes * rounds * threads / seconds);
  }
  return best;
}

std::string Roofline::arithmeticName() const {
#if defined(__x86_64__)
  int bits = 32 * halide::bench::products(levelOf(features),
                                          halide::bench::Arithmetic::F32);
  const char *name = arithmetic == Arithmetic::Int8   ? "int8 dot product"
                     : arithmetic == Arithmetic::Bf16 ? "bf16 dot product"
                                                      : "f32 multiply-add";
  return fmt::format("{}, {} bits", name, bits);
#else
  return "f32 multiply-add, 128 bits";
#endif
}

} // namespace lfmc::cli
