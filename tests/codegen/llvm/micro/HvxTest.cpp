// SPDX-License-Identifier: Apache-2.0
//
// linear_q by HVX: results under qemu-hexagon (v66) against sums of doubles.
#include "tests/codegen/halide/QuantizedFixture.h"
#include "tests/codegen/llvm/micro/HvxCases.h"

#include "codegen/llvm/Emit.h"
#include "codegen/llvm/micro/Micro.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <unistd.h>

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
  /// As v73 has it: no emulator runs floats of HVX, but their vectors run as
  /// scalars on v66.
  std::vector<float> runInVectors(const MicroKernel &kernel,
                                  const std::vector<std::string> &buffers) {
    return run(
        [&](const std::string &object) {
          llvm::LLVMContext context;
          const auto build =
              kernel.family == "linear_q" ? buildMicro : halideModule;
          auto module = llvm::cantFail(
              build(kernel, "lfmc_test_kernel", hexagon("v73"), context));
          auto bytes =
              llvm::cantFail(emitLlvm(*module, hexagon("v66"), EmitKind::Object,
                                      kernel.family == "linear_q"));
          std::ofstream(object, std::ios::binary)
              .write(bytes.data(), std::streamsize(bytes.size()));
          return std::string();
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

  if (!c.bias && !c.residual && !c.swiglu)
    return;
  // Sums are the same, and so is all but swiglu's division.
  const std::vector<float> vectors = runInVectors(kernel, buffers);
  ASSERT_EQ(vectors.size(), y.size());
  for (size_t i = 0; i < y.size(); ++i)
    ASSERT_NEAR(vectors[i], y[i],
                c.swiglu ? 1e-6f * std::abs(y[i]) + 1e-30f : 0)
        << i;
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
  all.push_back({.wtype = Q8, .rows = 32, .tokens = 2, .swiglu = true});
  all.push_back({.wtype = Q4,
                 .rows = 64,
                 .tokens = 2,
                 .bias = true,
                 .swiglu = true,
                 .tolerance = 2e-6});
  all.push_back({.wtype = Q8,
                 .rows = 64,
                 .tokens = 4,
                 .outlier = 4096,
                 .tolerance = 1e-4});
  return all;
}
INSTANTIATE_TEST_SUITE_P(LinearQ, Hvx, testing::ValuesIn(cases()));

// Vectors that are made of Halide's slices (Widen.h).
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
    const std::vector<float> found = runInVectors(c.kernel, buffers);
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

// Where e^-x is infinite or nearly so, and where it is nothing.
TEST_F(HvxRun, GatesOfLargeNumbers) {
  constexpr int width = 256;
  std::vector<float> gates(width), ups(width, 1), none(width);
  for (int i = 0; i < width; ++i)
    gates[i] = float(i - width / 2) * 1.5f;
  const std::vector<std::string> buffers = {bytesOf(gates.data(), width * 4),
                                            bytesOf(ups.data(), width * 4),
                                            bytesOf(none.data(), width * 4)};
  const MicroKernel kernel = {"swiglu", {{"width", width}}, {}};
  const std::vector<float> wanted = run(kernel, buffers),
                           found = runInVectors(kernel, buffers);
  ASSERT_EQ(found.size(), wanted.size());
  EXPECT_GT(wanted.back(), 150);
  for (int i = 0; i < width; ++i)
    EXPECT_NEAR(found[i], wanted[i], 1e-6f * std::abs(wanted[i]) + 1e-36f)
        << gates[i];
}

} // namespace
} // namespace lfmc::halide::test
