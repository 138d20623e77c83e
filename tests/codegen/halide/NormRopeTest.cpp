// SPDX-License-Identifier: Apache-2.0
#include "tests/codegen/halide/Harness.h"

#include <cmath>

namespace lfmc::halide::test {
namespace {

double inverseNorm(const float *x, int width, double eps) {
  double sum = 0;
  for (int i = 0; i < width; ++i)
    sum += double(x[i]) * x[i];
  return 1 / std::sqrt(sum / width + eps);
}

Case normCase(int width, int heads, double eps, float scale) {
  MicroKernel kernel{"rms_norm", {{"width", width}, {"heads", heads}}, {}};
  kernel.doubles["eps"] = eps;
  return {
      kernel, [=](const Kernel &kernel) {
        Random random(width + heads);
        Buffer<float> x(size_t(width) * heads), g(width);
        Buffer<float> y(x.size(), untouched);
        random.fill(x);
        random.fill(g);
        for (float &value : x)
          value *= scale;
        kernel({x.data(), g.data(), y.data()});
        for (int h = 0; h < heads; ++h) {
          const float *row = x.data() + size_t(h) * width;
          double inverse = inverseNorm(row, width, eps);
          for (int i = 0; i < width; ++i) {
            double want = g[i] * (row[i] * inverse);
            ASSERT_NEAR(y[size_t(h) * width + i], want, 6e-7 * std::fabs(want))
                << "head " << h << " element " << i;
          }
        }
      }};
}

struct Rope {
  int dim, heads, rot, headStride, elemStride;
  bool norm, half;
};

Case ropeCase(const Rope &s) {
  const double eps = 1e-5;
  MicroKernel kernel{"rope",
                     {{"dim", s.dim},
                      {"heads", s.heads},
                      {"rot", s.rot},
                      {"norm", s.norm},
                      {"ytype", s.half ? 2 : 0},
                      {"y_head_stride", s.headStride},
                      {"y_elem_stride", s.elemStride}},
                     {}};
  if (s.norm)
    kernel.doubles["eps"] = eps;
  return {kernel, [=](const Kernel &kernel) {
            Random random(s.dim + s.rot);
            Buffer<float> x(size_t(s.dim) * s.heads), g(s.dim), table(s.rot);
            random.fill(x);
            random.fill(g);
            const int pairs = s.rot / 2;
            for (int i = 0; i < pairs; ++i) {
              table[i] = std::cos(0.7f * i + 1);
              table[pairs + i] = std::sin(0.7f * i + 1);
            }
            size_t size = size_t(s.heads - 1) * s.headStride +
                          size_t(s.dim - 1) * s.elemStride + 1;
            Buffer<float> y(size, untouched);
            Buffer<uint16_t> y16(size, toF16(untouched));
            std::vector<void *> args = {x.data()};
            if (s.norm)
              args.push_back(g.data());
            args.push_back(table.data());
            args.push_back(s.half ? static_cast<void *>(y16.data()) : y.data());
            kernel(args);
            std::vector<bool> written(size);
            for (int h = 0; h < s.heads; ++h) {
              const float *row = x.data() + size_t(h) * s.dim;
              double inverse = inverseNorm(row, s.dim, eps);
              std::vector<double> a(s.dim);
              for (int i = 0; i < s.dim; ++i)
                a[i] = s.norm ? g[i] * (row[i] * inverse) : row[i];
              for (int i = 0; i < s.dim; ++i) {
                double want = a[i], magnitude = std::fabs(a[i]);
                if (i < s.rot) {
                  int j = i % pairs;
                  double cosine = table[j], sine = table[pairs + j];
                  want = i < pairs ? a[j] * cosine - a[j + pairs] * sine
                                   : a[i] * cosine + a[j] * sine;
                  magnitude = std::fabs(a[j]) + std::fabs(a[j + pairs]);
                }
                size_t at = size_t(h) * s.headStride + size_t(i) * s.elemStride;
                written[at] = true;
                float found = s.half ? fromF16(y16[at]) : y[at];
                double tolerance = 6e-7 * magnitude;
                if (s.half)
                  tolerance += 0x1p-11 * std::fabs(want) + 0x1p-25;
                ASSERT_NEAR(found, want, tolerance)
                    << "head " << h << " element " << i;
              }
            }
            for (size_t i = 0; i < size; ++i)
              if (!written[i])
                ASSERT_EQ(s.half ? fromF16(y16[i]) : y[i],
                          s.half ? fromF16(toF16(untouched)) : untouched);
          }};
}

class NormTest : public IsaTest {};

TEST_P(NormTest, Widths) {
  std::vector<Case> cases;
  for (int width : {1, 2, 3, 7, 8, 15, 16, 31, 33, 64, 72, 77, 128, 1000, 2048})
    cases.push_back(normCase(width, 1, 1e-5, 1.0f));
  run(cases);
}

TEST_P(NormTest, HeadsAndScales) {
  run({normCase(64, 8, 1e-6, 1.0f), normCase(72, 3, 1e-5, 100.0f),
       normCase(5, 4, 1e-5, 1e-3f), normCase(32, 2, 1.0, 1e-6f)});
}

class RopeTest : public IsaTest {};

TEST_P(RopeTest, DimsStridesAndTypes) {
  std::vector<Case> cases;
  for (int dim : {32, 64, 72, 128, 6})
    for (bool norm : {false, true})
      for (bool half : {false, true})
        cases.push_back(ropeCase({dim, 3, dim, dim, 1, norm, half}));
  cases.push_back(ropeCase({64, 2, 64, 64 * 48, 16, true, true}));
  cases.push_back(ropeCase({64, 2, 64, 64 * 48, 16, true, false}));
  cases.push_back(ropeCase({72, 2, 72, 2000, 8, false, true}));
  run(cases);
}

TEST_P(RopeTest, PartialRotation) {
  run({ropeCase({64, 2, 32, 64, 1, true, false}),
       ropeCase({72, 2, 36, 80, 1, false, true}),
       ropeCase({10, 1, 2, 10, 1, true, false})});
}

LFMC_FOR_EACH_ISA(NormTest);
LFMC_FOR_EACH_ISA(RopeTest);

} // namespace
} // namespace lfmc::halide::test
