// SPDX-License-Identifier: Apache-2.0
#include "PackFixture.h"

#include <cmath>
#include <csignal>
#include <limits>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

using namespace lfmc;

namespace {

class PackFailure : public PackTest {
protected:
  void SetUp() override {
    PackTest::SetUp();
    std::vector<float> nan = iota(24), large = iota(24);
    nan[13] = std::nanf("");
    large[22] = -1e5f;
    writeCheckpoint({{{"good", DType::F32, {6, 4}}, iota(24)},
                     {{"nan", DType::F32, {6, 4}}, nan},
                     {{"large", DType::F32, {6, 4}}, large},
                     {{"vector", DType::F32, {24}}, iota(24)},
                     {{"ids", DType::I32, {6, 4}}, iota(24)}});
  }

  // Expects an error that contains all `parts`, and nothing left behind.
  void fails(llvm::StringRef text, std::vector<const char *> parts) {
    std::string message = pack(text);
    for (const char *part : parts)
      EXPECT_NE(message.find(part), std::string::npos)
          << "'" << part << "' is not in: " << message;
    EXPECT_EQ(names(), std::vector<std::string>{"model.safetensors"});
  }
};

TEST_F(PackFailure, BadElements) {
  fails(
      R"(lfm2.weight @w : tensor<6x4xf32, #lfm2.stored<bf16, <rows = 2, depth = 2>>>
      = #lfm2.source<"nan"> at 16384)",
      {"'nan'", "model.safetensors", "nan at [3, 1]"});
  fails(R"(lfm2.weight @w : tensor<12x4xf32, #lfm2.stored<f16>>
      = #lfm2.source<"good", "large"> at 16384)",
        {"'large'", "[5, 2]", "-100000", "f16"});
  EXPECT_EQ(pack(R"(lfm2.weight @w : tensor<6x4xf32, #lfm2.stored<bf16>>
      = #lfm2.source<"large"> at 16384)"),
            "");
}

TEST_F(PackFailure, BadSources) {
  fails(R"(lfm2.weight @w : tensor<6x4xf32, #lfm2.stored<f32>>
      = #lfm2.source<"absent"> at 16384)",
        {"@w", "'absent'"});
  fails(R"(lfm2.weight @w : tensor<6x4xf32, #lfm2.stored<f32>>
      = #lfm2.source<"ids"> at 16384)",
        {"'ids'", "I32"});
  fails(R"(lfm2.weight @w : tensor<7x4xf32, #lfm2.stored<f32>>
      = #lfm2.source<"good"> at 16384)",
        {"@w", "expected 7 rows", "6"});
  fails(R"(lfm2.weight @w : tensor<4x6xf32, #lfm2.stored<f32>>
      = #lfm2.source<"good"> at 16384)",
        {"'good'", "[rows, 6]", "[6, 4]"});
  fails(R"(lfm2.weight @w : tensor<24xf32, #lfm2.stored<f32>>
      = #lfm2.source<"good"> at 16384)",
        {"'good'", "[rows]"});
  fails(R"(lfm2.weight @w : tensor<6x4xf32, #lfm2.stored<f32>>
      = #lfm2.source<"vector"> at 16384)",
        {"'vector'", "[24]"});
}

TEST_F(PackFailure, BadOffsets) {
  fails(R"(lfm2.weight @w : tensor<6x4xf32, #lfm2.stored<f32>>
      = #lfm2.source<"good">)",
        {"@w", "no offset"});
  fails(R"(lfm2.weight @w : tensor<6x4xf32, #lfm2.stored<f32>>
      = #lfm2.source<"good"> at 128)",
        {"@w", "128 overlaps", "16384"});
  fails(R"(lfm2.weight @w : tensor<6x4xf32, #lfm2.stored<f32>>
      = #lfm2.source<"good"> at 16400)",
        {"multiple of 128"});
  fails(R"(lfm2.weight @a : tensor<6x4xf32, #lfm2.stored<f32>>
      = #lfm2.source<"good"> at 16384
    lfm2.weight @b : tensor<6x4xf32, #lfm2.stored<f32>>
      = #lfm2.source<"good"> at 16384)",
        {"@b", "overlaps"});
}

TEST_F(PackFailure, FileSizeLimit) {
  auto before = std::signal(SIGXFSZ, SIG_IGN);
  rlimit old;
  getrlimit(RLIMIT_FSIZE, &old);
  rlimit small = {8192, old.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  fails(R"(lfm2.weight @w : tensor<6x4xf32, #lfm2.stored<f32>>
      = #lfm2.source<"good"> at 16384)",
        {"cannot write", "/w"});
  setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, before);
}

TEST_F(PackFailure, FullDisk) {
  std::string disk = dir + "/disk";
  ASSERT_FALSE(llvm::sys::fs::create_directory(disk));
  if (mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=64k"))
    GTEST_SKIP() << "mounting needs root";
  writeCheckpoint({{{"w", DType::F32, {64, 512}}, iota(64 * 512)}});
  auto module = parse(R"(lfm2.weight @w : tensor<64x512xf32, #lfm2.stored<f32>>
      = #lfm2.source<"w"> at 16384)");
  auto result = packWeights(*module, {*checkpoint, {}}, disk + "/w");
  ASSERT_FALSE(bool(result));
  std::string message = llvm::toString(result.takeError());
  EXPECT_NE(message.find("No space left"), std::string::npos) << message;
  std::error_code code;
  EXPECT_TRUE(llvm::sys::fs::directory_iterator(disk, code) ==
              llvm::sys::fs::directory_iterator())
      << "a file was left on the full disk";
  umount(disk.c_str());
}

TEST_F(PackFailure, MissingDirectory) {
  auto module = parse(R"(lfm2.weight @w : tensor<6x4xf32, #lfm2.stored<f32>>
      = #lfm2.source<"good"> at 16384)");
  auto result = packWeights(*module, {*checkpoint, {}}, dir + "/no/such/w");
  ASSERT_FALSE(bool(result));
  EXPECT_NE(llvm::toString(result.takeError()).find("cannot write"),
            std::string::npos);
}

} // namespace
