// SPDX-License-Identifier: Apache-2.0
//
// attention_block by products of halves, under qemu-aarch64, against plain C++
// in double. Errors are those of queries and weights rounded to f16 (FEAT_FHM)
// and, in f16, of each sum of a run (FEAT_FP16).
#include "tests/codegen/halide/Harness.h"

#include "codegen/llvm/micro/Micro.h"

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>

#include <unistd.h>

namespace lfmc::halide::test {
namespace {

namespace fs = std::filesystem;

// All steps over a cache; what the last but one left, then the last.
constexpr const char *driver = R"(
#include <stdio.h>
#include <stdlib.h>
struct buffer { char device[16]; void *host; char rest[64]; };
typedef struct buffer *b;
int kernel(b, b, b, b, b, b, b, b, b, int);
int main(int argc, char **argv) {
  int h[5]; /* dim, rows, block, blocks, context */
  FILE *in = fopen(argv[1], "rb"), *out = fopen(argv[2], "wb");
  if (!in || !out || fread(h, 4, 5, in) != 5) return 1;
  size_t cache = (size_t)h[3] * h[2] * h[0] * 2, queries, set;
  set = (size_t)h[1] * (h[0] + 2) * 4;
  if (fread(&queries, 8, 1, in) != 1) return 1;
  char *q = malloc(queries), *k = malloc(cache), *v = malloc(cache);
  char *s[2] = {malloc(set), malloc(set)};
  if (fread(q, 1, queries, in) != queries || fread(k, 1, cache, in) != cache ||
      fread(v, 1, cache, in) != cache || fread(s[0], 1, set, in) != set)
    return 1;
  for (int i = 0; i < h[3]; ++i) {
    size_t at = cache / h[3] * i;
    char *x = s[i % 2], *y = s[1 - i % 2];
    void *hosts[] = {q, k + at, v + at, x, x + h[1] * 4, x + h[1] * 8,
                     y, y + h[1] * 4, y + h[1] * 8};
    struct buffer a[9];
    for (int n = 0; n < 9; ++n) a[n].host = hosts[n];
    if (kernel(a, a + 1, a + 2, a + 3, a + 4, a + 5, a + 6, a + 7, a + 8,
               h[4] + 1 - i * h[2]))
      return 2;
  }
  for (int i = 1; i >= 0; --i)
    if (fwrite(s[(h[3] + i) % 2], 1, set, out) != set) return 3;
  return fclose(out);
}
)";

struct Shape {
  int dim = 64, group = 2, tokens = 1, block = 128, window = 0, qPad = 0;
  int registers = 0;
  int rows() const { return tokens * group; }
  int qStride() const { return group * dim + qPad; }
};

struct Level {
  const char *target;
  double scoreError, valueError; ///< of maxima; of values over all their sizes
};

class ArmAttention : public testing::TestWithParam<Level> {
protected:
  void SetUp() override {
    if (std::system("command -v qemu-aarch64 aarch64-linux-gnu-gcc "
                    ">/dev/null"))
      GTEST_SKIP() << "NOT TESTED: no qemu-aarch64 or no cross compiler";
    fs::create_directories(dir);
    std::ofstream(place("driver.c")) << driver;
  }
  void TearDown() override { fs::remove_all(dir); }
  std::string place(const char *name) const { return (dir / name).string(); }

  void compile(const Shape &s);
  /// Maxima, masses and sums after all steps behind `context` positions.
  std::vector<float> run(const Shape &s, int context);
  void check(const Shape &s);

  const fs::path dir = fs::temp_directory_path() /
                       ("lfmc-arm-attention-" + std::to_string(getpid()));
};

constexpr double scale = 0.25;

void ArmAttention::compile(const Shape &s) {
  MicroKernel kernel{"attention_block",
                     {{"dim", s.dim},
                      {"group", s.group},
                      {"tokens", s.tokens},
                      {"block", s.block},
                      {"lanes", 16},
                      {"q_stride", s.qStride()},
                      {"kvtype", 2},
                      {"window", s.window}},
                     {{"scale", scale}}};
  if (s.registers)
    kernel.ints["score_registers"] = kernel.ints["sum_registers"] = s.registers;
  const Target &target = *llvm::cantFail(findTarget(GetParam().target));
  ASSERT_EQ(microBackend(kernel, target), MicroBackend::ArmAttention);
  ASSERT_EQ(emitMicro(kernel, "kernel", target, Emit::Object, place("k.o")),
            "");
  ASSERT_EQ(std::system(("cd " + dir.string() +
                         " && aarch64-linux-gnu-gcc -O1 -static driver.c k.o "
                         "-o driver")
                            .c_str()),
            0);
}

/// Of position j and dimension d (of q: row and dimension), whatever the shape.
float element(int kind, int j, int d) {
  Random random(uint32_t(kind + 3 * (d + 256 * j)));
  random();
  return (kind == 1 ? 2 : 1) * random();
}
float stored(int kind, int j, int d) {
  return fromF16(toF16(element(kind, j, d)));
}

std::vector<float> ArmAttention::run(const Shape &s, int context) {
  const int known = context + s.tokens;
  // One block more, which no query sees: it must change nothing.
  const int blocks = (known + s.block - 1) / s.block + 1;
  std::vector<float> q(size_t(s.tokens) * s.qStride(), NAN);
  for (int t = 0; t < s.tokens; ++t)
    for (int g = 0; g < s.group; ++g)
      for (int d = 0; d < s.dim; ++d)
        q[size_t(t) * s.qStride() + g * s.dim + d] =
            element(0, (context + t) * s.group + g, d);
  std::vector<uint16_t> k(size_t(blocks) * s.block * s.dim), v(k.size());
  for (int j = 0; j < blocks * s.block; ++j)
    for (int d = 0; d < s.dim; ++d) {
      const float odd = j % 2 ? NAN : std::numeric_limits<float>::infinity();
      k[(size_t(j / 16) * s.dim + d) * 16 + j % 16] =
          toF16(j < known ? element(1, j, d) : odd);
      v[size_t(j) * s.dim + d] = toF16(j < known ? element(2, j, d) : -odd);
    }
  const size_t set = size_t(s.rows()) * (s.dim + 2);
  std::vector<float> start(set, 0.0f);
  for (int r = 0; r < s.rows(); ++r)
    start[r] = context % 2 ? -std::numeric_limits<float>::infinity() : -1e30f;
  const int32_t header[] = {s.dim, s.rows(), s.block, blocks, context};
  const uint64_t queryBytes = q.size() * 4;
  std::ofstream file(place("in"), std::ios::binary);
  auto write = [&](const void *data, size_t bytes) {
    file.write(static_cast<const char *>(data), std::streamsize(bytes));
  };
  write(header, sizeof header);
  write(&queryBytes, sizeof queryBytes);
  write(q.data(), queryBytes);
  write(k.data(), k.size() * 2);
  write(v.data(), v.size() * 2);
  write(start.data(), set * 4);
  file.close();
  EXPECT_EQ(std::system(("cd " + dir.string() +
                         " && qemu-aarch64 -cpu max ./driver in out")
                            .c_str()),
            0);
  std::vector<float> sets(set * 2);
  std::ifstream(place("out"), std::ios::binary)
      .read(reinterpret_cast<char *>(sets.data()),
            std::streamsize(sets.size() * 4));
  std::vector<float> last(sets.begin() + std::ptrdiff_t(set), sets.end());
  sets.resize(set);
  EXPECT_EQ(sets, last);
  return last;
}

void ArmAttention::check(const Shape &s) {
  compile(s);
  for (int context : {0, 1, s.block - s.tokens, s.block, 2 * s.block + 5}) {
    SCOPED_TRACE(testing::Message() << "context " << context);
    const std::vector<float> found = run(s, context);
    double error = 0, size = 0;
    for (int r = 0; r < s.rows(); ++r) {
      const int end = context + r / s.group + 1;
      const int begin = s.window ? std::max(0, end - s.window) : 0;
      std::vector<double> scores, sum(s.dim);
      double top = -1e300, mass = 0;
      for (int j = begin; j < end; ++j) {
        double score = 0;
        for (int d = 0; d < s.dim; ++d)
          score += double(element(0, context * s.group + r, d)) *
                   stored(1, j, d) * scale;
        scores.push_back(score);
        top = std::max(top, score);
      }
      for (int j = begin; j < end; ++j) {
        const double weight = std::exp(scores[j - begin] - top);
        mass += weight;
        for (int d = 0; d < s.dim; ++d)
          sum[d] += weight * stored(2, j, d);
      }
      ASSERT_NEAR(found[r], top, GetParam().scoreError);
      const float l = found[s.rows() + r];
      ASSERT_NEAR(l / mass, 1, 2 * GetParam().scoreError);
      for (int d = 0; d < s.dim; ++d) {
        const double y = found[s.rows() * 2 + size_t(r) * s.dim + d] / l;
        error += std::pow(y - sum[d] / mass, 2);
        size += std::pow(sum[d] / mass, 2);
      }
    }
    EXPECT_LE(std::sqrt(error / size), GetParam().valueError);
  }
}

TEST_P(ArmAttention, EqualsDoubles) {
  for (const Shape &s :
       {Shape{}, Shape{.group = 8}, Shape{.dim = 128, .group = 4},
        Shape{.dim = 72, .group = 3, .tokens = 4, .block = 48, .qPad = 8},
        Shape{.tokens = 16, .block = 64, .qPad = 1024},
        Shape{.dim = 8, .group = 1, .tokens = 5, .block = 16},
        Shape{.tokens = 4, .block = 64, .registers = 8}, Shape{.window = 40},
        Shape{.tokens = 4, .block = 32, .window = 7}}) {
    SCOPED_TRACE(testing::Message()
                 << s.dim << ' ' << s.group << ' ' << s.tokens << ' ' << s.block
                 << ' ' << s.window << ' ' << s.registers);
    check(s);
  }
}

// A token has the same bits alone and among others, in blocks of any size that
// hold all positions.
TEST_P(ArmAttention, IsTheSameAloneAndAmongOthers) {
  const Shape many{.tokens = 8, .block = 64}, one{.block = 128};
  compile(many);
  const std::vector<float> together = run(many, 37);
  compile(one);
  for (int t = 0; t < many.tokens; ++t) {
    const std::vector<float> alone = run(one, 37 + t);
    for (int g = 0; g < one.group; ++g) {
      const int r = t * one.group + g;
      ASSERT_EQ(alone[g], together[r]);
      ASSERT_EQ(alone[one.rows() + g], together[many.rows() + r]);
      for (int d = 0; d < one.dim; ++d)
        ASSERT_EQ(alone[one.rows() * 2 + g * one.dim + d],
                  together[many.rows() * 2 + r * one.dim + d]);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    , ArmAttention,
    testing::Values(Level{"aarch64-linux+fhm", 1.5e-3, 7e-4},
                    Level{"aarch64-linux+fp16", 2e-2, 6e-3}),
    [](const auto &info) { return std::string(info.param.target).substr(14); });

} // namespace
} // namespace lfmc::halide::test
