// SPDX-License-Identifier: Apache-2.0
#include "frontend/SafeTensorsWriter.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <numeric>

#include <sys/resource.h>

using namespace lfmc;
namespace fs = std::filesystem;

namespace {

/// A directory that goes away with the test.
class SafeTensorsFile : public testing::Test {
protected:
  void SetUp() override {
    const auto *info = testing::UnitTest::GetInstance()->current_test_info();
    dir = fs::path(testing::TempDir()) /
          (std::string("lfmc-safetensors-") + info->name() +
           std::to_string(::getpid()));
    fs::create_directories(dir);
  }
  void TearDown() override {
    fs::permissions(dir, fs::perms::owner_all);
    fs::remove_all(dir);
  }
  std::string path(const char *name) const { return (dir / name).string(); }
  size_t numFiles() const {
    return std::distance(fs::directory_iterator(dir), fs::directory_iterator());
  }
  fs::path dir;
};

std::vector<uint8_t> pattern(size_t size, uint8_t first) {
  std::vector<uint8_t> bytes(size);
  std::iota(bytes.begin(), bytes.end(), first);
  return bytes;
}

llvm::Error writeAll(const std::string &path,
                     const std::vector<TensorSpec> &specs) {
  auto writer = SafeTensorsWriter::create(path, specs);
  if (!writer)
    return writer.takeError();
  for (const TensorSpec &spec : specs) {
    auto data = pattern(spec.numBytes(), uint8_t(spec.name[0]));
    llvm::ArrayRef<uint8_t> rest = data;
    while (!rest.empty()) { // in uneven pieces
      size_t piece = std::min<size_t>(rest.size(), 1000);
      if (llvm::Error error =
              (*writer)->append(spec.name, rest.take_front(piece)))
        return error;
      rest = rest.drop_front(piece);
    }
  }
  return (*writer)->finish();
}

#define ASSERT_OK(call)                                                        \
  do {                                                                         \
    llvm::Error assertedError = (call);                                        \
    ASSERT_FALSE(bool(assertedError))                                          \
        << llvm::toString(std::move(assertedError));                           \
  } while (false)

TEST_F(SafeTensorsFile, RoundTrip) {
  std::vector<TensorSpec> specs{{"w", DType::F32, {3, 5, 7}},
                                {"odd \"name\" \xc3\xa9", DType::BF16, {1}},
                                {"bytes", DType::U8, {4097}},
                                {"empty", DType::F16, {0, 4}},
                                {"scalar", DType::I64, {}}};
  ASSERT_OK(writeAll(path("a.safetensors"), specs));
  EXPECT_EQ(numFiles(), 1u);
  auto file = SafeTensors::open(path("a.safetensors"));
  ASSERT_TRUE(bool(file)) << llvm::toString(file.takeError());
  ASSERT_EQ(file->tensors().size(), specs.size());
  for (const TensorSpec &spec : specs) {
    const TensorInfo *info = file->find(spec.name);
    ASSERT_TRUE(info) << spec.name;
    EXPECT_EQ(info->shape, spec.shape);
    EXPECT_EQ(info->dtype, spec.dtype);
    EXPECT_EQ(file->bytes(*info).vec(),
              pattern(spec.numBytes(), uint8_t(spec.name[0])));
  }
  EXPECT_FALSE(file->find("no such tensor"));
}

TEST_F(SafeTensorsFile, NothingAppearsBeforeFinish) {
  {
    auto writer = SafeTensorsWriter::create(path("a.safetensors"),
                                            {{"w", DType::U8, {8}}});
    ASSERT_TRUE(bool(writer));
    ASSERT_OK((*writer)->append("w", pattern(4, 0)));
    EXPECT_FALSE(fs::exists(path("a.safetensors")));
    EXPECT_EQ(numFiles(), 1u);
    llvm::Error error = (*writer)->finish();
    ASSERT_TRUE(bool(error));
    std::string text = llvm::toString(std::move(error));
    EXPECT_NE(text.find("4 of 8 bytes of tensor 'w' are missing"),
              std::string::npos)
        << text;
  }
  EXPECT_EQ(numFiles(), 0u);
}

TEST_F(SafeTensorsFile, MisuseIsAnError) {
  auto message = [&](std::vector<TensorSpec> specs) {
    auto writer = SafeTensorsWriter::create(path("a.safetensors"), specs);
    return writer ? std::string("no error")
                  : llvm::toString(writer.takeError());
  };
  EXPECT_NE(message({{"w", DType::U8, {1}}, {"w", DType::U8, {1}}})
                .find("tensor 'w' twice"),
            std::string::npos);
  int64_t huge = int64_t(1) << 40;
  EXPECT_NE(message({{"w", DType::F32, {huge, huge}}}).find("overflows"),
            std::string::npos);
  EXPECT_NE(message({{"\xff", DType::U8, {1}}}).find("UTF-8"),
            std::string::npos);
  auto writer = SafeTensorsWriter::create(
      path("a.safetensors"), {{"a", DType::U8, {2}}, {"b", DType::U8, {2}}});
  ASSERT_TRUE(bool(writer));
  auto append = [&](const char *name, size_t size) {
    return llvm::toString((*writer)->append(name, pattern(size, 0)));
  };
  EXPECT_NE(append("b", 2).find("expected 'a'"), std::string::npos);
  EXPECT_NE(append("a", 3).find("1 bytes too many"), std::string::npos);
  EXPECT_EQ(append("a", 2), "");
  EXPECT_EQ(append("b", 2), "");
  EXPECT_NE(append("c", 1).find("after the last tensor"), std::string::npos);
}

TEST_F(SafeTensorsFile, FullDiskIsAnErrorAndLeavesNothing) {
  // A limit on the file size stands for the full disk.
  struct rlimit old;
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old), 0);
  auto oldHandler = ::signal(SIGXFSZ, SIG_IGN);
  struct rlimit small = {1 << 16, old.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  llvm::Error error =
      writeAll(path("a.safetensors"), {{"w", DType::U8, {1 << 20}}});
  ::setrlimit(RLIMIT_FSIZE, &old);
  ::signal(SIGXFSZ, oldHandler);
  ASSERT_TRUE(bool(error));
  std::string text = llvm::toString(std::move(error));
  EXPECT_NE(text.find("cannot write"), std::string::npos) << text;
  EXPECT_NE(text.find("a.safetensors"), std::string::npos) << text;
  EXPECT_EQ(numFiles(), 0u);
}

TEST_F(SafeTensorsFile, MissingDirectoryIsAnError) {
  llvm::Error error =
      writeAll(path("no/such/a.safetensors"), {{"w", DType::U8, {1}}});
  ASSERT_TRUE(bool(error));
  EXPECT_NE(llvm::toString(std::move(error)).find("cannot write"),
            std::string::npos);
}

} // namespace
