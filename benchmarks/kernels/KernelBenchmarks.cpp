// SPDX-License-Identifier: Apache-2.0
//
// The microkernels at the shapes of LFM2 1.2B, single-threaded, against what
// the core can do: "of_peak" is the share of the arithmetic peak, "of_read" the
// share of the read bandwidth, both measured at the start of this run. The peak
// of quantized kernels is that of 8-bit products, see Peaks.h. Rates are per
// second of CPU time, so that a busy machine disturbs them less.
#include "benchmarks/kernels/Loader.h"
#include "benchmarks/kernels/Peaks.h"

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <set>
#include <vector>

namespace lfmc::halide::bench {
namespace {

constexpr size_t streamBytes = size_t(256) << 20;

struct Isa {
  Level level;
  const char *name;           // of the target
  int rows, tokens, panels;   // the tile of floats; panels: for one token
  bool f16;                   // converts f16 in hardware
  int quantRows, quantTokens; // the tile of quantized weights
  const Target *target = nullptr;
  double flops = 0, products = 0; // peaks
};

// The tiles that targets/ chooses.
std::vector<Isa> isas = {
    {Level::V2, "x86-64-v2", 8, 4, 1, false, 4, 4},
    {Level::V3, "x86-64-v3", 16, 6, 4, true, 8, 12},
    {Level::V3Vnni, "x86-64-v3-vnni", 16, 6, 4, true, 16, 6},
    {Level::V4, "x86-64-v4", 64, 6, 1, true, 16, 8},
    {Level::Vnni, "x86-64-v4-vnni", 64, 6, 1, true, 32, 6},
    {Level::Amx, "x86-64-amx", 64, 6, 1, true, 16, 64},
};

using Memory = std::unique_ptr<char, decltype(&std::free)>;

// Zeroed, so that every page is present and no value is a NaN.
Memory allocate(size_t bytes) {
  bytes = (bytes + 4095) / 4096 * 4096;
  Memory memory(static_cast<char *>(std::aligned_alloc(4096, bytes)),
                &std::free);
  std::memset(memory.get(), 0, bytes);
  return memory;
}

char *stream() {
  static Memory memory = allocate(streamBytes + 4096);
  return memory.get();
}

// Counts CPU time from its construction to the report.
class Meter {
public:
  explicit Meter(benchmark::State &state)
      : state(state), start(threadSeconds()) {}
  /// `flops` and `bytes` are those of one iteration.
  void flops(double flops, const Isa &isa) {
    double rate = perSecond(flops);
    state.counters["Gflop/s"] = rate / 1e9;
    state.counters["of_peak"] = rate / isa.flops;
  }
  /// `products` of 8-bit integers.
  void products(double products, const Isa &isa) {
    double rate = perSecond(products);
    state.counters["Gmac/s"] = rate / 1e9;
    state.counters["of_peak"] = rate / isa.products;
  }
  double bytes(double bytes) {
    double rate = perSecond(bytes);
    state.counters["GB/s"] = rate / 1e9;
    return rate;
  }

private:
  double perSecond(double amount) const {
    return amount * state.iterations() / (threadSeconds() - start);
  }
  benchmark::State &state;
  double start;
};

const char *storageNames[] = {"f32", "bf16", "f16"};
size_t storageBytes(int wtype) { return wtype == 0 ? 4 : 2; }

// Decode: one token times weights that come from memory.
void decodeLinear(benchmark::State &state, const Isa &isa, int wtype) {
  const int k = 2048, rows = isa.rows, panels = isa.panels;
  void *kernel = loadKernel(
      {"linear",
       {{"wtype", wtype}, {"rows", rows}, {"panels", panels}, {"k", k}},
       {}},
      *isa.target);
  const size_t step = size_t(rows) * panels * k * storageBytes(wtype);
  std::vector<float> x(k), y(rows * panels);
  // The bandwidth changes with what else the machine does: measure it beside.
  double read = readPeak(stream(), streamBytes);
  Meter meter(state);
  for (auto _ : state)
    for (size_t at = 0; at + step <= streamBytes; at += step)
      call(kernel, x.data(), stream() + at, y.data());
  double rate = meter.bytes(double(streamBytes / step * step));
  read = std::max(read, readPeak(stream(), streamBytes));
  state.counters["of_read"] = rate / read;
}

// Prefill: a tile of tokens times panels that stay in the second-level cache.
void prefillLinear(benchmark::State &state, const Isa &isa, int wtype) {
  const int k = 2048, rows = isa.rows, tokens = isa.tokens;
  void *kernel = loadKernel({"linear",
                             {{"wtype", wtype},
                              {"rows", rows},
                              {"tokens", tokens},
                              {"k", k},
                              {"y_stride", 2048}},
                             {}},
                            *isa.target);
  const size_t step = size_t(rows) * k * storageBytes(wtype);
  const size_t panels = std::max<size_t>(1, (size_t(256) << 10) / step);
  Memory w = allocate(panels * step);
  std::vector<float> x(size_t(tokens) * k), y(size_t(tokens) * 2048);
  Meter meter(state);
  for (auto _ : state)
    for (size_t panel = 0; panel < panels; ++panel)
      call(kernel, x.data(), w.get() + panel * step, y.data() + panel * rows);
  meter.flops(2.0 * panels * rows * tokens * k, isa);
}

const char *quantNames[] = {"q8", "q4", "q6", "q4m"}; // wtype 3 to 6

size_t quantBytes(int wtype, int block, size_t weights) {
  const int bits[] = {8, 4, 6, 4};
  return weights / block *
         ((wtype == 6 ? 4 : 2) + size_t(block) * bits[wtype - 3] / 8);
}

// A step of a few tokens: weights come from memory.
void streamLinearQ(benchmark::State &state, const Isa &isa, int wtype,
                   int block, int tokens) {
  const int k = 2048, rows = isa.quantRows, width = k + k / 4;
  void *kernel = loadKernel({"linear_q",
                             {{"wtype", wtype},
                              {"block", block},
                              {"rows", rows},
                              {"tokens", tokens},
                              {"k", k}},
                             {}},
                            *isa.target);
  const size_t step = quantBytes(wtype, block, size_t(rows) * k);
  std::vector<char> x(size_t(tokens) * width);
  std::vector<float> y(size_t(tokens) * rows);
  double read = readPeak(stream(), streamBytes);
  Meter meter(state);
  for (auto _ : state)
    for (size_t at = 0; at + step <= streamBytes; at += step)
      call(kernel, x.data(), &x[k], &x[k + k / 8], stream() + at, y.data());
  double rate = meter.bytes(double(streamBytes / step * step));
  read = std::max(read, readPeak(stream(), streamBytes));
  state.counters["of_read"] = rate / read;
}

void prefillLinearQ(benchmark::State &state, const Isa &isa, int wtype,
                    int block, int tokens) {
  const int k = 2048, rows = isa.quantRows;
  void *kernel = loadKernel({"linear_q",
                             {{"wtype", wtype},
                              {"block", block},
                              {"rows", rows},
                              {"tokens", tokens},
                              {"k", k},
                              {"y_stride", 2048}},
                             {}},
                            *isa.target);
  const size_t step = quantBytes(wtype, block, size_t(rows) * k);
  const size_t panels = std::max<size_t>(1, (size_t(256) << 10) / step);
  Memory w = allocate(panels * step);
  std::vector<char> x(size_t(tokens) * (k + k / 4));
  std::vector<float> y(size_t(tokens) * 2048);
  Meter meter(state);
  for (auto _ : state)
    for (size_t panel = 0; panel < panels; ++panel)
      call(kernel, x.data(), &x[k], &x[k + k / 8], w.get() + panel * step,
           y.data() + panel * rows % 2048);
  meter.products(1.0 * panels * rows * tokens * k, isa);
}

void quantize(benchmark::State &state, const Isa &isa) {
  const int width = 2048;
  void *kernel = loadKernel({"quantize", {{"width", width}}, {}}, *isa.target);
  std::vector<float> x(width, 1.0f);
  std::vector<char> row(width + width / 4);
  Meter meter(state);
  for (auto _ : state)
    call(kernel, x.data(), row.data(), &row[width], &row[width + width / 8]);
  meter.bytes(4.0 * width + row.size());
}

void attention(benchmark::State &state, const Isa &isa, int tokens, bool half) {
  const int dim = 64, group = 4, block = 64, blocks = 8, rows = group * tokens;
  void *kernel = loadKernel({"attention_block",
                             {{"dim", dim},
                              {"group", group},
                              {"tokens", tokens},
                              {"block", block},
                              {"kvtype", half ? 2 : 0}},
                             {{"scale", 0.125}}},
                            *isa.target);
  const size_t step = size_t(dim) * block * (half ? 2 : 4);
  Memory k = allocate(blocks * step), v = allocate(blocks * step);
  std::vector<float> q(size_t(rows) * dim), m(2 * rows), l(2 * rows, 1.0f);
  std::vector<float> acc(size_t(2) * rows * dim);
  using Signature =
      int (*)(halide_buffer_t *, halide_buffer_t *, halide_buffer_t *,
              halide_buffer_t *, halide_buffer_t *, halide_buffer_t *,
              halide_buffer_t *, halide_buffer_t *, halide_buffer_t *, int32_t);
  auto function = reinterpret_cast<Signature>(kernel);
  Meter meter(state);
  for (auto _ : state)
    for (int b = 0; b < blocks; ++b) {
      const int in = (b & 1) * rows, out = rows - in;
      halide_buffer_t args[] = {buffer(q.data()),
                                buffer(k.get() + b * step),
                                buffer(v.get() + b * step),
                                buffer(&m[in]),
                                buffer(&l[in]),
                                buffer(&acc[size_t(in) * dim]),
                                buffer(&m[out]),
                                buffer(&l[out]),
                                buffer(&acc[size_t(out) * dim])};
      function(&args[0], &args[1], &args[2], &args[3], &args[4], &args[5],
               &args[6], &args[7], &args[8], block);
    }
  meter.flops(4.0 * rows * dim * block * blocks, isa);
}

void rmsNorm(benchmark::State &state, const Isa &isa) {
  const int width = 2048;
  void *kernel = loadKernel({"rms_norm", {{"width", width}}, {{"eps", 1e-5}}},
                            *isa.target);
  std::vector<float> x(width, 1.0f), g(width), y(width);
  Meter meter(state);
  for (auto _ : state)
    call(kernel, x.data(), g.data(), y.data());
  meter.bytes(12.0 * width);
}

void rope(benchmark::State &state, const Isa &isa) {
  const int dim = 64, heads = 32;
  void *kernel = loadKernel(
      {"rope", {{"dim", dim}, {"heads", heads}, {"norm", 1}}, {{"eps", 1e-5}}},
      *isa.target);
  std::vector<float> x(dim * heads, 1.0f), g(dim), table(dim), y(dim * heads);
  Meter meter(state);
  for (auto _ : state)
    call(kernel, x.data(), g.data(), table.data(), y.data());
  meter.bytes(8.0 * dim * heads);
}

void shortConv(benchmark::State &state, const Isa &isa) {
  const int channels = 2048, taps = 3;
  void *kernel =
      loadKernel({"short_conv", {{"channels", channels}, {"taps", taps}}, {}},
                 *isa.target);
  std::vector<float> b(channels), c(channels), x(channels), y(channels);
  std::vector<float> w(channels * taps), s(channels * (taps - 1));
  Meter meter(state);
  for (auto _ : state)
    call(kernel, b.data(), c.data(), x.data(), w.data(), s.data(), y.data());
  meter.bytes(4.0 * channels * (4 + taps + taps - 1));
}

void swiglu(benchmark::State &state, const Isa &isa) {
  const int width = 8192;
  void *kernel = loadKernel({"swiglu", {{"width", width}}, {}}, *isa.target);
  std::vector<float> gate(width, 1.0f), up(width), y(width);
  Meter meter(state);
  for (auto _ : state)
    call(kernel, gate.data(), up.data(), y.data());
  meter.bytes(12.0 * width);
}

void registerAll() {
  auto add = [](const std::string &name, auto function) {
    benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State &state) {
      try {
        function(state);
      } catch (const std::exception &error) {
        state.SkipWithError(error.what());
      }
    });
  };
  for (Isa &isa : isas) {
    isa.target = llvm::cantFail(findTarget(isa.name));
    if (!runsOnHost(*isa.target)) {
      benchmark::AddCustomContext(isa.name, "this CPU does not run it");
      continue;
    }
    isa.flops = flopPeak(isa.level);
    isa.products = productPeak(isa.level);
    benchmark::AddCustomContext(
        isa.name, fmt::format("{:.1f} Gflop/s, {:.1f} Gmac/s", isa.flops / 1e9,
                              isa.products / 1e9));
    auto named = [&](const std::string &text) {
      return fmt::format("{}/{}", isa.name, text);
    };
    for (int wtype : {0, 1, 2}) {
      if (wtype == 2 && !isa.f16)
        continue;
      const char *type = storageNames[wtype];
      add(named(fmt::format("linear/decode/{}", type)),
          [&isa, wtype](auto &state) { decodeLinear(state, isa, wtype); });
      add(named(fmt::format("linear/prefill/{}", type)),
          [&isa, wtype](auto &state) { prefillLinear(state, isa, wtype); });
    }
    for (int wtype : {3, 4, 5, 6})
      for (int block : {32, 128}) {
        std::string type =
            fmt::format("{}/block:{}", quantNames[wtype - 3], block);
        for (int tokens : {1, 2, 4})
          add(named(fmt::format("linear_q/stream/{}/tokens:{}", type, tokens)),
              [=, &isa](auto &state) {
                streamLinearQ(state, isa, wtype, block, tokens);
              });
        for (int tokens : std::set<int>{4, isa.quantTokens})
          add(named(fmt::format("linear_q/tile/{}/tokens:{}", type, tokens)),
              [=, &isa](auto &state) {
                prefillLinearQ(state, isa, wtype, block, tokens);
              });
      }
    for (int tokens : {1, 4, 12})
      add(named(fmt::format("attention_block/{}/tokens:{}",
                            isa.f16 ? "f16" : "f32", tokens)),
          [&isa, tokens](auto &state) {
            attention(state, isa, tokens, isa.f16);
          });
    add(named("rms_norm"), [&isa](auto &state) { rmsNorm(state, isa); });
    add(named("quantize"), [&isa](auto &state) { quantize(state, isa); });
    add(named("rope"), [&isa](auto &state) { rope(state, isa); });
    add(named("short_conv"), [&isa](auto &state) { shortConv(state, isa); });
    add(named("swiglu"), [&isa](auto &state) { swiglu(state, isa); });
  }
}

} // namespace
} // namespace lfmc::halide::bench

int main(int argc, char **argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv))
    return 1;
  lfmc::halide::bench::registerAll();
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
