// SPDX-License-Identifier: Apache-2.0
//
// linear_q of rewritten weights for Arm, under qemu-aarch64, against plain C++:
// the same bits, from the stored weights on.
#ifndef LFMC_TESTS_CODEGEN_LLVM_MICRO_ARMWIDEFIXTURE_H
#define LFMC_TESTS_CODEGEN_LLVM_MICRO_ARMWIDEFIXTURE_H

#include "tests/codegen/halide/QuantizedFixture.h"
#include "tests/codegen/llvm/micro/ArmProgram.h"

#include <cmath>

namespace lfmc::halide::test {

struct ArmShape {
  int rows = 16, block = 32, k = 768, group = 256, tokens = 8, panels = 1;
  int groups() const { return k / group; }
};

/// Where the rows of x have a code, and the scale of a group: bytes from the
/// first token's on. Of scales there may be several.
struct ArmRows {
  int (*code)(const ArmShape &, int token, int column);
  std::vector<int> (*scales)(const ArmShape &, int token, int group);
};

class ArmKernel : public ArmProgram {
protected:
  /// Compiles a kernel that reads x in `rows`, to the object and a program with
  /// `sources`, and chooses the operands.
  void prepare(const ArmShape &s, const ArmRows &rows, const char *target,
               MicroBackend backend, const char *parameter,
               const char *sources);
  /// Runs it on a processor of qemu's.
  void run(const ArmShape &s, const char *cpu);

private:
  std::vector<float> res, wanted;
};

inline void ArmKernel::prepare(const ArmShape &s, const ArmRows &rows,
                               const char *target, MicroBackend backend,
                               const char *parameter, const char *sources) {
  Random random(s.k + s.group + s.block);
  QuantizedWeights w(
      Q4, s.rows, s.block, 4, s.panels, s.k, s.k, random,
      [&](int row, int) { return row == 3 ? -8 : pick(random, -8, 7); });
  std::vector<uint8_t> x(size_t(s.tokens) * s.k * 5 / 4, 0xee);
  std::vector<int> codes(size_t(s.tokens) * s.k);
  std::vector<float> scales(size_t(s.tokens) * s.groups());
  for (int t = 0; t < s.tokens; ++t) {
    for (int column = 0; column < s.k; ++column) {
      const int code = t == 0 ? 127 : pick(random, -127, 127);
      codes[size_t(t) * s.k + column] = code;
      x[size_t(rows.code(s, t, column))] = uint8_t(code);
    }
    for (int g = 0; g < s.groups(); ++g) {
      float &scale = scales[size_t(t) * s.groups() + g];
      scale = (random() + 1.5f) * 0.01f;
      for (int at : rows.scales(s, t, g))
        std::memcpy(&x[size_t(at)], &scale, 4);
    }
  }
  const int columns = s.panels * s.rows;
  res.resize(size_t(s.tokens) * columns);
  for (float &value : res)
    value = random();
  MicroKernel kernel{"linear_q",
                     {{"wtype", Q4},
                      {"rows", s.rows},
                      {"block", s.block},
                      {"depth", 4},
                      {"panels", s.panels},
                      {"tokens", s.tokens},
                      {"k", s.k},
                      {"group", s.group},
                      {parameter, 1},
                      {"residual", 1}},
                     {}};
  const Target &compiled = *llvm::cantFail(findTarget(target));
  ASSERT_EQ(microBackend(kernel, compiled), backend);
  ASSERT_EQ(emitMicro(kernel, "kernel", compiled, Emit::Object, place("k.o")),
            "");
  std::ofstream(place("driver.c")) << armDriver;
  write("x", x.data(), x.size());
  write("w", w.stored.data(), w.stored.size());
  write("res", res.data(), res.size());
  ASSERT_EQ(std::system(("cd " + dir.string() +
                         " && aarch64-linux-gnu-gcc -O1 -static driver.c k.o "
                         "-o driver " +
                         sources)
                            .c_str()),
            0);

  wanted.clear();
  const int blocks = s.k / s.block;
  for (int t = 0; t < s.tokens; ++t)
    for (int row = 0; row < columns; ++row) {
      float sum = 0;
      for (int g = 0; g < s.groups(); ++g) {
        const float *steps = &w.scales[size_t(row) * blocks];
        float largest = 0;
        for (int i = g * s.group; i < (g + 1) * s.group; i += s.block)
          largest = std::max(largest, std::fabs(steps[i / s.block]));
        const float inverse = largest > 0 ? 3840.0f / largest : 0;
        int32_t products = 0;
        for (int i = g * s.group; i < (g + 1) * s.group; ++i) {
          const float ratio = steps[i / s.block] * inverse;
          const int factor = int(std::nearbyint(ratio));
          const int value = w.values[size_t(row) * s.k + i] * factor + 128;
          products += (value >> 8) * codes[size_t(t) * s.k + i];
        }
        sum = std::fma(float(products) * scales[size_t(t) * s.groups() + g],
                       largest * (1 / 15.0f), sum);
      }
      wanted.push_back(res[size_t(t) * columns + row] + sum);
    }
}

inline void ArmKernel::run(const ArmShape &s, const char *cpu) {
  ASSERT_EQ(std::system(("cd " + dir.string() + " && qemu-aarch64 -cpu " + cpu +
                         " ./driver x w res y 0 0")
                            .c_str()),
            0);
  std::vector<float> y(wanted.size());
  std::ifstream(place("y"), std::ios::binary)
      .read(reinterpret_cast<char *>(y.data()),
            std::streamsize(y.size() * sizeof(float)));
  const int columns = s.panels * s.rows;
  for (size_t i = 0; i < y.size(); ++i)
    ASSERT_EQ(y[i], wanted[i])
        << "token " << i / columns << " row " << i % columns;
}

} // namespace lfmc::halide::test

#endif // LFMC_TESTS_CODEGEN_LLVM_MICRO_ARMWIDEFIXTURE_H
