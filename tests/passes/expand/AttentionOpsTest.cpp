// SPDX-License-Identifier: Apache-2.0
//
// rope, cache_write, rope_cache and attention against their formulas in f64.
#include "tests/passes/expand/Support.h"

#include <cmath>

using namespace lfmc;
using namespace lfmc::test;

namespace {

using Matrix = std::vector<double>;

Matrix rope(const HostTensor &x, int64_t headDim, int64_t dim, double theta,
            bool interleaved, int64_t pos) {
  Matrix result(x.floats().begin(), x.floats().end());
  int64_t width = x.shape[1], half = dim / 2;
  for (int64_t t = 0; t < x.shape[0]; ++t)
    for (int64_t start = 0; start < width; start += headDim)
      for (int64_t i = 0; i < half; ++i) {
        // The angle is an f32 product of an f32 frequency, by definition.
        float frequency =
            1.0f / float(std::pow(theta, double(float(2 * i) / float(dim))));
        double angle = float(pos + t) * frequency;
        double *head = &result[t * width + start];
        double &a = head[interleaved ? 2 * i : i];
        double &b = head[interleaved ? 2 * i + 1 : i + half];
        double x1 = a, x2 = b;
        a = x1 * std::cos(angle) - x2 * std::sin(angle);
        b = x2 * std::cos(angle) + x1 * std::sin(angle);
      }
  return result;
}

TEST(AttentionOps, RopeHalvesPairsAndParts) {
  struct {
    const char *attribute;
    int64_t dim;
    double theta;
    bool interleaved;
  } cases[] = {
      {"theta = 1.0e+06 : f64, dim = 8", 8, 1e6, false},
      {"theta = 1.0e+04 : f64, dim = 8, interleaved = true", 8, 1e4, true},
      {"theta = 5.0e+06 : f64, dim = 4", 4, 5e6, false},
      {"theta = 5.0e+06 : f64, dim = 6, interleaved = true", 6, 5e6, true}};
  for (auto &[attribute, dim, theta, interleaved] : cases)
    for (int64_t pos : {0, 7, 100'000}) {
      HostTensor x = random({3, 24}, 1);
      auto found =
          run(std::string("func.func @f(%x: tensor<?x24xf32>, %p: index) "
                          "-> tensor<?x24xf32> {\n%0 = lfm2.rope %x at "
                          "%p head_dim 8 <") +
                  attribute +
                  "> : tensor<?x24xf32>\nreturn %0 : tensor<?x24xf32>\n}",
              {x, HostTensor::index(pos)});
      ASSERT_EQ(found.size(), 1u);
      expectNear(found[0], rope(x, 8, dim, theta, interleaved, pos), 1e-6);
    }
}

TEST(AttentionOps, CacheWriteConvertsToF16) {
  HostTensor x = random({2, 6}, 2);
  HostTensor cache(HostTensor::Element::F16, {5, 2, 3});
  auto found = run(R"(
    func.func @f(%x: tensor<?x6xf32>, %c: tensor<5x2x3xf16>, %p: index) -> tensor<5x2x3xf16> {
      %0 = lfm2.cache_write %x into %c at %p : tensor<?x6xf32>, tensor<5x2x3xf16>
      return %0 : tensor<5x2x3xf16>
    })",
                   {x, cache, HostTensor::index(2)});
  ASSERT_EQ(found.size(), 1u);
  Matrix wanted(30);
  for (int i = 0; i < 12; ++i)
    wanted[12 + i] = x.floats()[i];
  expectNear(found[0], wanted, 1.0 / 4096); // half an ulp of f16 below 1
}

// The fused op and the ops that it stands for.
TEST(AttentionOps, RopeCacheEqualsItsParts) {
  HostTensor q = random({3, 16}, 3), k = random({3, 8}, 4),
             v = random({3, 8}, 5), qNorm = random({4}, 6),
             kNorm = random({4}, 7), kCache = random({9, 2, 4}, 8),
             vCache = random({9, 2, 4}, 9);
  std::vector<HostTensor> inputs{q,     k,      v,      qNorm,
                                 kNorm, kCache, vCache, HostTensor::index(5)};
  std::string head = R"(
    func.func @f(%q: tensor<?x16xf32>, %k: tensor<?x8xf32>, %v: tensor<?x8xf32>,
                 %qn: tensor<4xf32>, %kn: tensor<4xf32>, %kc: tensor<9x2x4xf32>,
                 %vc: tensor<9x2x4xf32>, %p: index)
        -> (tensor<?x16xf32>, tensor<9x2x4xf32>, tensor<9x2x4xf32>) {)";
  auto fused = run(head + R"(
      %0:3 = lfm2.rope_cache %q, %k, %v norm(%qn, %kn) into %kc, %vc at %p eps 1.0e-05 <theta = 1.0e+06 : f64, dim = 4>
        : (tensor<?x16xf32>, tensor<?x8xf32>, tensor<?x8xf32>, tensor<4xf32>, tensor<4xf32>, tensor<9x2x4xf32>, tensor<9x2x4xf32>, index)
        -> (tensor<?x16xf32>, tensor<9x2x4xf32>, tensor<9x2x4xf32>)
      return %0#0, %0#1, %0#2 : tensor<?x16xf32>, tensor<9x2x4xf32>, tensor<9x2x4xf32>
    })",
                   inputs);
  auto parts = run(head + R"(
      %q1 = lfm2.rms_norm %q, %qn eps 1.0e-05 : tensor<?x16xf32>, tensor<4xf32>
      %q2 = lfm2.rope %q1 at %p head_dim 4 <theta = 1.0e+06 : f64, dim = 4> : tensor<?x16xf32>
      %k1 = lfm2.rms_norm %k, %kn eps 1.0e-05 : tensor<?x8xf32>, tensor<4xf32>
      %k2 = lfm2.rope %k1 at %p head_dim 4 <theta = 1.0e+06 : f64, dim = 4> : tensor<?x8xf32>
      %k3 = lfm2.cache_write %k2 into %kc at %p : tensor<?x8xf32>, tensor<9x2x4xf32>
      %v3 = lfm2.cache_write %v into %vc at %p : tensor<?x8xf32>, tensor<9x2x4xf32>
      return %q2, %k3, %v3 : tensor<?x16xf32>, tensor<9x2x4xf32>, tensor<9x2x4xf32>
    })",
                   inputs);
  ASSERT_EQ(fused.size(), 3u);
  ASSERT_EQ(parts.size(), 3u);
  for (int i = 0; i < 3; ++i) {
    auto values = parts[i].floats();
    expectNear(fused[i], Matrix(values.begin(), values.end()), 1e-6);
  }
}

Matrix attention(const HostTensor &q, llvm::ArrayRef<float> k,
                 llvm::ArrayRef<float> v, int64_t heads, int64_t d, int64_t pos,
                 double scale, int64_t window) {
  int64_t width = q.shape[1], queries = width / d, group = queries / heads;
  Matrix result(q.floats().size());
  for (int64_t t = 0; t < q.shape[0]; ++t)
    for (int64_t h = 0; h < queries; ++h) {
      int64_t end = pos + t + 1;
      int64_t begin = window ? std::max<int64_t>(0, end - window) : 0;
      const float *row = &q.floats()[t * width + h * d];
      double sum = 0;
      for (int64_t j = begin; j < end; ++j) {
        int64_t at = (j * heads + h / group) * d;
        double dot = 0;
        for (int64_t i = 0; i < d; ++i)
          dot += double(row[i]) * k[at + i];
        double weight = std::exp(scale * dot);
        sum += weight;
        for (int64_t i = 0; i < d; ++i)
          result[t * width + h * d + i] += weight * v[at + i];
      }
      for (int64_t i = 0; i < d; ++i)
        result[t * width + h * d + i] /= sum;
    }
  return result;
}

TEST(AttentionOps, AttentionIsCausalGroupedAndWindowed) {
  for (int64_t window : {0, 1, 4})
    for (int64_t pos : {0, 1, 6}) {
      HostTensor q = random({3, 24}, 10), k = random({9, 2, 4}, 11),
                 v = random({9, 2, 4}, 12);
      std::string suffix =
          window ? " window " + std::to_string(window) : std::string();
      auto found =
          run("func.func @f(%q: tensor<?x24xf32>, %k: tensor<9x2x4xf32>, "
              "%v: tensor<9x2x4xf32>, %p: index) -> tensor<?x24xf32> {\n"
              "%0 = lfm2.attention %q, %k, %v at %p scale 0.5" +
                  suffix +
                  " : tensor<?x24xf32>, tensor<9x2x4xf32>, "
                  "tensor<9x2x4xf32>\nreturn %0 : tensor<?x24xf32>\n}",
              {q, k, v, HostTensor::index(pos)});
      ASSERT_EQ(found.size(), 1u);
      expectNear(found[0],
                 attention(q, k.floats(), v.floats(), 2, 4, pos, 0.5, window),
                 1e-6);
    }
}

// Scores of several hundred: exponentials would overflow without the maximum.
TEST(AttentionOps, AttentionOverF16CachesDoesNotOverflow) {
  HostTensor q = random({2, 8}, 13), x = random({6, 4}, 14);
  for (float &value : q.floats())
    value *= 300;
  auto cache = run(R"(
    func.func @f(%x: tensor<?x4xf32>, %c: tensor<6x1x4xf16>, %p: index) -> tensor<6x1x4xf16> {
      %0 = lfm2.cache_write %x into %c at %p : tensor<?x4xf32>, tensor<6x1x4xf16>
      return %0 : tensor<6x1x4xf16>
    })",
                   {x, HostTensor(HostTensor::Element::F16, {6, 1, 4}),
                    HostTensor::index(0)});
  ASSERT_EQ(cache.size(), 1u);
  auto found = run(R"(
    func.func @f(%q: tensor<?x8xf32>, %c: tensor<6x1x4xf16>, %p: index) -> tensor<?x8xf32> {
      %0 = lfm2.attention %q, %c, %c at %p scale 1.0 : tensor<?x8xf32>, tensor<6x1x4xf16>, tensor<6x1x4xf16>
      return %0 : tensor<?x8xf32>
    })",
                   {q, cache[0], HostTensor::index(4)});
  ASSERT_EQ(found.size(), 1u);
  std::vector<float> values = cache[0].toFloats();
  Matrix wanted = attention(q, values, values, 1, 4, 4, 1.0, 0);
  expectNear(found[0], wanted, 1e-4);
}

} // namespace
