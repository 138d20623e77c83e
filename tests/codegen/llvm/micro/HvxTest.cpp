// SPDX-License-Identifier: Apache-2.0
//
// linear_q by HVX: results under qemu-hexagon (v66) against sums of doubles,
// and the instructions of every version.
#include "tests/codegen/halide/Assembly.h"
#include "tests/codegen/halide/QuantizedFixture.h"

#include "codegen/llvm/Emit.h"
#include "codegen/llvm/micro/Micro.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <tuple>

namespace lfmc::halide::test {

// Harness.cpp calls kernels of this processor: there are none here.
const std::vector<Isa> &allIsas() {
  static const std::vector<Isa> none;
  return none;
}
std::string Isa::emit(const MicroKernel &kernel, const std::string &symbol,
                      Emit what, const std::string &path) const {
  return emitMicro(kernel, symbol, *llvm::cantFail(findTarget(target)), what,
                   path);
}

namespace {

const Target &hexagon(const std::string &version) {
  return *llvm::cantFail(findTarget("hexagon-" + version));
}

struct HvxCase {
  int wtype, rows, tokens, block = 32, panels = 2, k = 192;
  bool bias = false, residual = false, swiglu = false;
  float outlier = 1; ///< of the first block's xs against the others'
  /// Largest error, of the sum of the terms' sizes.
  double tolerance = 1e-6;
};

/// Runs kernels under qemu-hexagon (v66).
class HvxRun : public testing::Test {
protected:
  const std::string base = std::filesystem::path(testing::TempDir()) /
                           ("lfmc_hvx_" + std::to_string(getpid()));
  std::vector<std::string> files;

  std::string file(const char *end) {
    files.push_back(base + end);
    return files.back();
  }
  void TearDown() override {
    for (const std::string &name : files)
      std::filesystem::remove(name);
  }

  /// The floats of the last buffer; `emit(path)` writes the kernel's object.
  template <typename EmitTo>
  std::vector<float> run(EmitTo emit, const std::vector<std::string> &buffers) {
    const std::string object = file(".o"), program = file(".elf"),
                      in = file(".in"), out = file(".out");
    EXPECT_EQ(emit(object), "");
    std::ofstream stream(in, std::ios::binary);
    for (const std::string &buffer : buffers) {
      const int32_t bytes = int32_t(buffer.size());
      stream.write(reinterpret_cast<const char *>(&bytes), 4);
      stream.write(buffer.data(), bytes);
    }
    stream.close();
    const std::string command =
        std::string(LFMC_LLD " -static -e _start " LFMC_HVX_DRIVER " ") +
        object +
        " " LFMC_HEXAGON "/liblfm_runner.a " LFMC_HEXAGON "/builtins.o -o " +
        program + " && qemu-hexagon " + program + " " + in + " " + out;
    EXPECT_EQ(std::system(command.c_str()), 0) << command;
    std::ifstream result(out, std::ios::binary);
    std::string bytes(std::istreambuf_iterator<char>(result), {});
    std::vector<float> values(bytes.size() / 4);
    std::memcpy(values.data(), bytes.data(), values.size() * 4);
    return values;
  }
  std::vector<float> run(const MicroKernel &kernel,
                         const std::vector<std::string> &buffers) {
    return run(
        [&](const std::string &object) {
          return emitMicro(kernel, "lfmc_test_kernel", hexagon("v66"),
                           Emit::Object, object);
        },
        buffers);
  }
};

class Hvx : public HvxRun, public testing::WithParamInterface<HvxCase> {
protected:
  const HvxCase c = GetParam();
};

std::string bytesOf(const void *data, size_t bytes) {
  return {static_cast<const char *>(data), bytes};
}

TEST_P(Hvx, AgreesWithSumsOfDoubles) {
  Random random;
  const CodeRange range = codeRange(c.wtype);
  const QuantizedWeights weights(
      c.wtype, c.rows, c.block, 4, c.panels, c.k, c.k, random,
      [&](int, int) { return pick(random, range.low, range.high); },
      c.wtype == Q8);
  QuantizedRows x(c.k, c.tokens, 0, random,
                  [&](int, int) { return pick(random, -127, 127); });
  for (int t = 0; t < c.tokens; ++t) {
    const float large = x.scale(t, 0) * c.outlier;
    std::memcpy(x.row(t) + c.k, &large, 4);
  }
  const int out = c.swiglu ? c.rows / 2 : c.rows, columns = out * c.panels;
  std::vector<float> bias(size_t(c.panels) * c.rows),
      residual(size_t(c.tokens) * columns);
  for (std::vector<float> *values : {&bias, &residual})
    for (float &value : *values)
      value = random();

  MicroKernel kernel{"linear_q",
                     {{"wtype", c.wtype},
                      {"raised", c.wtype == Q8},
                      {"block", c.block},
                      {"rows", c.rows},
                      {"panels", c.panels},
                      {"tokens", c.tokens},
                      {"k", c.k},
                      {"bias", c.bias},
                      {"residual", c.residual},
                      {"swiglu", c.swiglu}},
                     {}};
  const std::string all = bytesOf(x.stored.data(), x.stored.size());
  std::vector<std::string> buffers = {
      all, all.substr(c.k), all.substr(c.k + c.k / 8),
      bytesOf(weights.stored.data(), weights.stored.size())};
  if (c.bias)
    buffers.push_back(bytesOf(bias.data(), bias.size() * 4));
  if (c.residual)
    buffers.push_back(bytesOf(residual.data(), residual.size() * 4));
  buffers.emplace_back(residual.size() * 4, '\0');
  const std::vector<float> y = run(kernel, buffers);
  ASSERT_EQ(y.size(), residual.size());

  double worst = 0;
  for (int t = 0; t < c.tokens; ++t)
    for (int p = 0; p < c.panels; ++p) {
      std::vector<double> sums(c.rows), sizes(c.rows);
      for (int r = 0; r < c.rows; ++r) {
        const size_t row = size_t(p) * c.rows + r;
        for (int block = 0; block < c.k / 32; ++block) {
          const size_t at = row * (c.k / c.block) + block * 32 / c.block;
          int64_t products = 0;
          for (int i = block * 32; i < block * 32 + 32; ++i)
            products += int64_t(x.q(t, i)) * weights.values[row * c.k + i];
          const double scale = x.scale(t, block);
          const double terms[] = {scale * weights.scales[at] * double(products),
                                  scale * weights.minima[at] *
                                      double(x.sum(t, block))};
          sums[r] += terms[0] + terms[1];
          sizes[r] += std::abs(terms[0]) + std::abs(terms[1]);
        }
        if (c.bias)
          sums[r] += bias[row];
      }
      for (int r = 0; r < out; ++r) {
        double wanted = sums[r], size = sizes[r] + std::abs(sums[r]);
        if (c.swiglu) {
          wanted *= sums[r + out] / (1 + std::exp(-wanted));
          size *= sizes[r + out];
        }
        const size_t at = size_t(t) * columns + p * out + r;
        if (c.residual)
          wanted += residual[at], size += std::abs(residual[at]);
        worst = std::max(worst, std::abs(y[at] - wanted) / size);
      }
    }
  EXPECT_LT(worst, c.tolerance);
  std::printf("largest error %.2g\n", worst);
}

// Sums are integers of which one is 2^-24 of the largest that a row's largest
// scale and a token's largest xs allow: small scales that meet large xs are
// rounded, as are minima and scales of different sizes.
std::vector<HvxCase> cases() {
  std::vector<HvxCase> all;
  for (int wtype : allQuantized)
    for (int tokens : {1, 2, 4})
      all.push_back({.wtype = wtype,
                     .rows = 64,
                     .tokens = tokens,
                     .tolerance = wtype == Q4M  ? 1e-5
                                  : wtype == Q8 ? 2e-6
                                                : 1e-6});
  all.push_back({.wtype = Q8, .rows = 32, .tokens = 3});
  all.push_back({.wtype = Q4M, .rows = 32, .tokens = 1, .tolerance = 1e-5});
  all.push_back({.wtype = Q4, .rows = 64, .tokens = 4, .block = 64});
  all.push_back({.wtype = Q8,
                 .rows = 64,
                 .tokens = 4,
                 .bias = true,
                 .residual = true,
                 .tolerance = 2e-6});
  all.push_back({.wtype = Q8, .rows = 64, .tokens = 1, .swiglu = true});
  all.push_back({.wtype = Q8,
                 .rows = 64,
                 .tokens = 4,
                 .outlier = 4096,
                 .tolerance = 1e-4});
  return all;
}
INSTANTIATE_TEST_SUITE_P(LinearQ, Hvx, testing::ValuesIn(cases()));

/// A kernel of floats and how many each of its buffers holds.
struct FloatCase {
  MicroKernel kernel;
  std::vector<int> sizes;
};
std::vector<FloatCase> floatCases() {
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

// No emulator runs floats of HVX, but the vectors that are made of Halide's
// slices for them (Widen.h) run as scalars on v66.
TEST_F(HvxRun, WidenedKernelsAgree) {
  for (const FloatCase &c : floatCases()) {
    SCOPED_TRACE(c.kernel.family);
    Random random;
    std::vector<std::string> buffers;
    for (int size : c.sizes) {
      std::vector<float> values(size);
      for (float &value : values)
        value = random() + 1.5f; // sums of attention are positive
      buffers.push_back(bytesOf(values.data(), values.size() * 4));
    }
    const std::vector<float> wanted = run(c.kernel, buffers);
    const std::vector<float> found = run(
        [&](const std::string &object) {
          llvm::LLVMContext context;
          auto module = llvm::cantFail(halideModule(
              c.kernel, "lfmc_test_kernel", hexagon("v73"), context));
          auto bytes = llvm::cantFail(
              emitLlvm(*module, hexagon("v66"), EmitKind::Object));
          std::ofstream(object, std::ios::binary)
              .write(bytes.data(), std::streamsize(bytes.size()));
          return std::string();
        },
        buffers);
    ASSERT_EQ(found.size(), wanted.size());
    ASSERT_EQ(found.size(), size_t(c.sizes.back()));
    float largest = 0, worst = 0;
    for (size_t i = 0; i < found.size(); ++i) {
      largest = std::max(largest, std::abs(wanted[i]));
      worst = std::max(worst, std::abs(found[i] - wanted[i]));
    }
    EXPECT_GT(largest, 0.1f);
    EXPECT_LT(worst, 2e-6f * largest);
    std::printf("%s: largest error %.2g of the largest\n",
                c.kernel.family.c_str(), worst / largest);
  }
}

/// Packets and vrmpy of the innermost hardware loop with vrmpy.
struct Loop {
  int packets = 0, products = 0;
};
Loop loopOf(const std::string &text) {
  Loop loop, found;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind(".LBB", 0) == 0)
      loop = {};
    loop.packets += line.find('{') != std::string::npos;
    loop.products += line.find("vrmpy(") != std::string::npos;
    if (line.find(":endloop0") != std::string::npos && loop.products)
      found = loop;
  }
  return found;
}

std::string text(const MicroKernel &kernel, const std::string &version) {
  return assemblyBy([&](Emit what, const std::string &path) {
    return emitMicro(kernel, "kernel", hexagon(version), what, path);
  });
}

TEST(HvxInstructions, ProductsFillPackets) {
  for (const char *version :
       {"v66", "v68", "v69", "v73", "v75", "v79", "v81"}) {
    SCOPED_TRACE(version);
    // One load a packet bounds one token: 17 packets, 0.94.
    for (auto [tokens, k, least] : {std::tuple(1, 1024, 0.88),
                                    {1, 4608, 0.88},
                                    {2, 1024, 1.0},
                                    {2, 4608, 1.0},
                                    {4, 1024, 1.0},
                                    {4, 2048, 1.0},
                                    {4, 4608, 1.0}}) {
      MicroKernel kernel = quantizedTile(Q8, 64, tokens);
      kernel.ints["k"] = k;
      kernel.ints["raised"] = 1;
      const Loop loop = loopOf(text(kernel, version));
      EXPECT_EQ(loop.products, 16 * tokens);
      EXPECT_GE(loop.products, least * loop.packets) << tokens << ", k " << k;
    }
  }
}

TEST(HvxInstructions, FloatsAreInVectors) {
  for (const char *version : {"v66", "v68", "v69", "v73", "v75", "v79", "v81"})
    for (const FloatCase &c : floatCases()) {
      SCOPED_TRACE(c.kernel.family + " " + version);
      const std::string assembly = text(c.kernel, version);
      auto occurs = [&](const char *pattern) {
        const std::regex regex(pattern);
        return std::distance(
            std::sregex_iterator(assembly.begin(), assembly.end(), regex),
            std::sregex_iterator());
      };
      const auto scalar = occurs("= sf(add|sub|mpy|min|max)|= sfmpy");
      if (version == std::string("v66")) {
        EXPECT_EQ(occurs("qf32"), 0);
        EXPECT_GT(scalar, 0);
        continue;
      }
      EXPECT_GT(occurs("qf32"), 10);
      // What is one a row or a head: the norm's root, maxima and sums.
      const bool whole =
          c.kernel.family != "rms_norm" && c.kernel.family != "attention_block";
      EXPECT_LE(scalar, whole ? 0 : c.kernel.family == "rms_norm" ? 45 : 240);
    }
}

} // namespace
} // namespace lfmc::halide::test
