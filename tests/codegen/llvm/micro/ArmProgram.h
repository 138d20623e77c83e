// SPDX-License-Identifier: Apache-2.0
//
// Calls a kernel of linear_q for arm64 under qemu-aarch64.
#ifndef LFMC_TESTS_CODEGEN_LLVM_MICRO_ARMPROGRAM_H
#define LFMC_TESTS_CODEGEN_LLVM_MICRO_ARMPROGRAM_H

#include "codegen/llvm/micro/Micro.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <unistd.h>

namespace lfmc::halide::test {

inline constexpr const char *armDriver = R"(
#include <stdio.h>
#include <stdlib.h>
struct buffer { char device[16]; void *host; char rest[64]; };
int kernel(struct buffer *, struct buffer *, struct buffer *, struct buffer *,
           struct buffer *, struct buffer *);
static char memory[3][1 << 20];
static float y[1 << 16];
int main(int argc, char **argv) {
  struct buffer b[6];
  size_t bytes = 0;
  for (int i = 0; i < 3; ++i) { /* x, w, res */
    FILE *in = fopen(argv[1 + i], "rb");
    if (!in) return 1;
    bytes = fread(memory[i], 1, sizeof memory[i], in);
    fclose(in);
  }
  b[0].host = memory[0];
  b[1].host = memory[0] + atoi(argv[5]);
  b[2].host = memory[0] + atoi(argv[6]);
  b[3].host = memory[1];
  b[4].host = memory[2];
  b[5].host = y;
  if (kernel(&b[0], &b[1], &b[2], &b[3], &b[4], &b[5])) return 2;
  FILE *out = fopen(argv[4], "wb");
  return fwrite(y, 1, bytes, out) != bytes || fclose(out);
}
)";

class ArmProgram : public testing::Test {
protected:
  void SetUp() override {
    if (std::system("command -v qemu-aarch64 aarch64-linux-gnu-gcc "
                    ">/dev/null"))
      GTEST_SKIP() << "NOT TESTED: no qemu-aarch64 or no cross compiler";
    std::filesystem::create_directories(dir);
  }
  void TearDown() override { std::filesystem::remove_all(dir); }

  /// y of a kernel with a residual, of as many elements as `res`; scales and
  /// sums of x start at `scales` and `sums`.
  template <typename Rows, typename Weights>
  std::vector<float> run(const MicroKernel &kernel, const Target &target,
                         const Rows &x, const Weights &w,
                         const std::vector<float> &res, size_t scales = 0,
                         size_t sums = 0) {
    EXPECT_EQ(emitMicro(kernel, "kernel", target, Emit::Object, place("k.o")),
              "");
    std::ofstream(place("driver.c")) << armDriver;
    write("x", x.data(), x.size());
    write("w", w.data(), w.size());
    write("res", res.data(), res.size());
    const std::string command =
        "cd " + dir.string() +
        " && aarch64-linux-gnu-gcc -O1 -static driver.c k.o -o driver && "
        "qemu-aarch64 -cpu max ./driver x w res y " +
        std::to_string(scales) + ' ' + std::to_string(sums);
    EXPECT_EQ(std::system(command.c_str()), 0);
    std::vector<float> y(res.size());
    std::ifstream(place("y"), std::ios::binary)
        .read(reinterpret_cast<char *>(y.data()),
              std::streamsize(y.size() * sizeof(float)));
    return y;
  }

  std::string place(const char *name) const { return (dir / name).string(); }
  template <typename T>
  void write(const char *name, const T *data, size_t count) {
    std::ofstream(place(name), std::ios::binary)
        .write(reinterpret_cast<const char *>(data),
               std::streamsize(count * sizeof(T)));
  }

  const std::filesystem::path dir = std::filesystem::temp_directory_path() /
                                    ("lfmc-arm-" + std::to_string(getpid()));
};

} // namespace lfmc::halide::test

#endif // LFMC_TESTS_CODEGEN_LLVM_MICRO_ARMPROGRAM_H
