// SPDX-License-Identifier: Apache-2.0
//
// Compiles microkernels to a shared object, loads it and calls them on buffers
// that end at an inaccessible page.
#ifndef LFMC_TESTS_CODEGEN_HALIDE_HARNESS_H
#define LFMC_TESTS_CODEGEN_HALIDE_HARNESS_H

#include "codegen/halide/MicroKernel.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

namespace lfmc::halide::test {

/// An instruction set that kernels are tested on. What it compiles for is known
/// to the test program: Isas.cpp here (Halide), MicroIsas.cpp in
/// tests/codegen/llvm/micro.
struct Isa {
  const char *name, *target;
  int rows;                 // of the panels that targets/ chooses
  std::vector<int> tiles;   // tokens of the many-token kernels
  const char *library = ""; // linked to the kernels
  /// Whether this CPU runs it.
  bool runs() const;
  /// See halide::emit.
  std::string emit(const MicroKernel &kernel, const std::string &symbol,
                   Emit what, const std::string &path) const;
};
const std::vector<Isa> &allIsas();

/// Memory for `bytes` bytes whose end is the end of a readable page: an access
/// past the end faults.
class Guarded {
public:
  explicit Guarded(size_t bytes);
  ~Guarded();
  Guarded(const Guarded &) = delete;
  void *data() const { return start; }

private:
  void *map;
  size_t mapBytes;
  void *start;
};

/// A typed guarded buffer.
template <typename T>
class Buffer {
public:
  explicit Buffer(size_t size, T value = T())
      : memory(size * sizeof(T)), count(size) {
    for (T &element : *this)
      element = value;
  }
  T *data() const { return static_cast<T *>(memory.data()); }
  T *begin() const { return data(); }
  T *end() const { return data() + count; }
  size_t size() const { return count; }
  T &operator[](size_t i) const {
    EXPECT_LT(i, count);
    return data()[i];
  }

private:
  Guarded memory;
  size_t count;
};

/// A loaded kernel. Calls pass halide_buffer_t records in which every field but
/// `host` is garbage.
struct Kernel {
  void *function;
  void operator()(const std::vector<void *> &buffers,
                  const std::vector<int32_t> &scalars = {}) const;
};

/// A kernel and what to check once it is loaded.
struct Case {
  MicroKernel kernel;
  std::function<void(const Kernel &)> check;
};

/// Compiles the cases for `isa` on two threads, links them into one shared
/// object that may have no undefined symbol, and runs the checks.
void runCases(const Isa &isa, const std::vector<Case> &cases);

/// "linear k=8 rows=4 ...", for messages.
std::string describe(const MicroKernel &kernel);

/// Deterministic values in [-1, 1).
class Random {
public:
  explicit Random(uint32_t seed = 1) : state(seed * 2654435761u + 1) {}
  float operator()();
  void fill(const Buffer<float> &buffer) {
    for (float &value : buffer)
      value = (*this)();
  }

private:
  uint32_t state;
};

// Stored forms of f32 values and their exact values.
uint16_t toBf16(float value);
float fromBf16(uint16_t bits);
uint16_t toF16(float value);
float fromF16(uint16_t bits);

/// A value that no kernel computes, to find writes where none belong.
inline constexpr float untouched = -12345.0f;

/// One test per instruction set; skipped where the CPU lacks it.
class IsaTest : public ::testing::TestWithParam<Isa> {
protected:
  void SetUp() override {
    if (!GetParam().runs())
      GTEST_SKIP() << "NOT TESTED: this CPU does not run " << GetParam().name;
  }
  void run(const std::vector<Case> &cases) { runCases(GetParam(), cases); }
};

#define LFMC_FOR_EACH_ISA(suite)                                               \
  INSTANTIATE_TEST_SUITE_P(                                                    \
      , suite, ::testing::ValuesIn(lfmc::halide::test::allIsas()),             \
      [](const auto &info) { return std::string(info.param.name); })

} // namespace lfmc::halide::test

#endif // LFMC_TESTS_CODEGEN_HALIDE_HARNESS_H
