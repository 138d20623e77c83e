// SPDX-License-Identifier: Apache-2.0
#include "tests/codegen/halide/Harness.h"

#include <cmath>

namespace lfmc::halide::test {
namespace {

const std::vector<int> widths = {1, 2, 5, 8, 16, 17, 33, 64, 100, 256, 1001};

class PointwiseTest : public IsaTest {};

TEST_P(PointwiseTest, Add) {
  std::vector<Case> cases;
  for (int width : widths)
    cases.push_back(
        {{"add", {{"width", width}}, {}}, [=](const Kernel &kernel) {
           Random random(width);
           Buffer<float> a(width), b(width), y(width, untouched);
           random.fill(a);
           random.fill(b);
           kernel({a.data(), b.data(), y.data()});
           for (int i = 0; i < width; ++i)
             ASSERT_EQ(y[i], a[i] + b[i]);
           std::vector<float> first(a.begin(), a.end());
           kernel({a.data(), b.data(), a.data()});
           for (int i = 0; i < width; ++i)
             ASSERT_EQ(a[i], first[i] + b[i]) << "in place";
         }});
  run(cases);
}

TEST_P(PointwiseTest, Swiglu) {
  std::vector<Case> cases;
  for (int width : widths)
    cases.push_back(
        {{"swiglu", {{"width", width}}, {}}, [=](const Kernel &kernel) {
           Random random(width);
           Buffer<float> gate(width), up(width), y(width, untouched);
           random.fill(gate);
           random.fill(up);
           // From the steep part out to where e^-x over- and underflows.
           for (int i = 0; i < width; ++i)
             gate[i] *= i % 3 == 0 ? 200.0f : i % 3 == 1 ? 10.0f : 1.0f;
           kernel({gate.data(), up.data(), y.data()});
           for (int i = 0; i < width; ++i) {
             double g = gate[i], want = g / (1 + std::exp(-g)) * up[i];
             ASSERT_NEAR(y[i], want, 6e-7 * std::fabs(want) + 1e-35)
                 << "gate " << g;
           }
         }});
  run(cases);
}

TEST_P(PointwiseTest, CopyToStridedF32AndF16) {
  struct Shape {
    int dim, heads, headStride, elemStride;
  };
  std::vector<Case> cases;
  for (Shape s : std::vector<Shape>{{64, 8, 64, 1},
                                    {64, 2, 4096, 1},
                                    {72, 3, 100, 1},
                                    {32, 2, 1024, 16},
                                    {5, 2, 9, 1},
                                    {512, 4, 512, 1}})
    for (bool half : {false, true}) {
      MicroKernel kernel{"copy",
                         {{"dim", s.dim},
                          {"heads", s.heads},
                          {"y_head_stride", s.headStride},
                          {"y_elem_stride", s.elemStride},
                          {"ytype", half ? 2 : 0}},
                         {}};
      cases.push_back(
          {kernel, [=](const Kernel &kernel) {
             Random random(s.dim);
             Buffer<float> x(size_t(s.dim) * s.heads);
             random.fill(x);
             x[0] = 1e-7f; // a subnormal f16
             x[1] = 65519.0f;
             size_t size = size_t(s.heads - 1) * s.headStride +
                           size_t(s.dim - 1) * s.elemStride + 1;
             Buffer<float> y(size, untouched), want(size, untouched);
             Buffer<uint16_t> y16(size, toF16(untouched));
             for (int h = 0; h < s.heads; ++h)
               for (int i = 0; i < s.dim; ++i)
                 want[size_t(h) * s.headStride + size_t(i) * s.elemStride] =
                     x[size_t(h) * s.dim + i];
             kernel(
                 {x.data(), half ? static_cast<void *>(y16.data()) : y.data()});
             for (size_t i = 0; i < size; ++i)
               if (half)
                 ASSERT_EQ(y16[i], toF16(want[i])) << "element " << i;
               else
                 ASSERT_EQ(y[i], want[i]) << "element " << i;
           }});
    }
  run(cases);
}

TEST_P(PointwiseTest, EmbedGathersEveryRow) {
  std::vector<Case> cases;
  for (int wtype : {0, 1, 2})
    for (int rows : {1, 4, 16, 64})
      for (int width : {2, 64, 70})
        cases.push_back(
            {{"embed",
              {{"width", width}, {"rows", rows}, {"wtype", wtype}},
              {}},
             [=](const Kernel &kernel) {
               Random random(width + rows);
               const int depth = wtype == 1 ? 2 : 1;
               const int bytes = wtype == 0 ? 4 : 2;
               Buffer<uint8_t> w(size_t(width) * rows * bytes);
               Buffer<float> y(width, untouched);
               std::vector<float> values(size_t(rows) * width);
               for (int r = 0; r < rows; ++r)
                 for (int k = 0; k < width; ++k) {
                   float value = random();
                   uint16_t bits = wtype == 1 ? toBf16(value) : toF16(value);
                   size_t at =
                       (size_t(k / depth) * rows + r) * depth + k % depth;
                   if (wtype == 0)
                     std::memcpy(w.data() + at * bytes, &value, 4);
                   else
                     std::memcpy(w.data() + at * bytes, &bits, 2);
                   values[size_t(r) * width + k] = wtype == 0   ? value
                                                   : wtype == 1 ? fromBf16(bits)
                                                                : fromF16(bits);
                 }
               for (int r = 0; r < rows; ++r) {
                 kernel({w.data() + size_t(r) * depth * bytes, y.data()});
                 for (int k = 0; k < width; ++k)
                   ASSERT_EQ(y[k], values[size_t(r) * width + k])
                       << "row " << r << " element " << k;
               }
             }});
  run(cases);
}

LFMC_FOR_EACH_ISA(PointwiseTest);

} // namespace
} // namespace lfmc::halide::test
