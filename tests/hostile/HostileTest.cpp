// SPDX-License-Identifier: Apache-2.0
//
// The library refuses every malformed checkpoint with an error that names what
// is wrong.
#include "HostileCases.h"

#include "frontend/Checkpoint.h"
#include "frontend/Tokenizer.h"

#include <gtest/gtest.h>

#include <set>

using namespace lfmc;
using namespace lfmc::hostile;
namespace fs = std::filesystem;

namespace {

/// The good checkpoints, written once.
class Goods : public testing::Environment {
public:
  void SetUp() override {
    root() = fs::path(testing::TempDir()) /
             ("lfmc-hostile-" + std::to_string(::getpid()));
    writeGood(Base::Single, root() / "single");
    writeGood(Base::Sharded, root() / "sharded");
  }
  void TearDown() override { fs::remove_all(root()); }
  static fs::path &root() {
    static fs::path path;
    return path;
  }
  static fs::path of(Base base) {
    return root() / (base == Base::Single ? "single" : "sharded");
  }
};

const testing::Environment *const goods =
    testing::AddGlobalTestEnvironment(new Goods);

/// What a compilation reads before it generates code.
llvm::Error openAll(const fs::path &dir) {
  auto checkpoint = Checkpoint::open(dir.string());
  if (!checkpoint)
    return checkpoint.takeError();
  auto tokenizer =
      compileTokenizer(dir.string(), checkpoint->config().vocabSize);
  return tokenizer ? llvm::Error::success() : tokenizer.takeError();
}

class Hostile : public testing::TestWithParam<Case> {};

TEST_P(Hostile, IsRefusedByName) {
  const Case &entry = GetParam();
  fs::path dir = Goods::root() / entry.name;
  fs::copy(Goods::of(entry.base), dir, fs::copy_options::recursive);
  entry.mutate(dir);
  llvm::Error error = openAll(dir);
  fs::remove_all(dir);
  if (entry.stage == Stage::Values) {
    // Only the packer looks at values; the tool's test covers these.
    EXPECT_FALSE(bool(error)) << llvm::toString(std::move(error));
    return;
  }
  ASSERT_TRUE(bool(error)) << "no error";
  std::string text = llvm::toString(std::move(error));
  for (const std::string &piece : entry.message)
    EXPECT_NE(text.find(piece), std::string::npos)
        << "expected: " << piece << "\nfound: " << text;
  EXPECT_LT(text.size(), 8000u);
  EXPECT_EQ(text.find_first_of("\x1b\r\t\x7f"), std::string::npos) << text;
  EXPECT_NE(text.back(), '.') << text;
}

INSTANTIATE_TEST_SUITE_P(Cases, Hostile, testing::ValuesIn(allCases()),
                         [](const auto &info) { return info.param.name; });

TEST(HostileSuite, GoodCheckpointsAreAccepted) {
  for (Base base : {Base::Single, Base::Sharded}) {
    llvm::Error error = openAll(Goods::of(base));
    EXPECT_FALSE(bool(error)) << llvm::toString(std::move(error));
  }
}

TEST(HostileSuite, NamesAreDistinct) {
  std::set<std::string> names;
  for (const Case &entry : allCases())
    EXPECT_TRUE(names.insert(entry.name).second) << entry.name;
  EXPECT_GE(names.size(), 60u);
}

// Every prefix of a checkpoint's file is refused: no structure can be cut
// without notice.
TEST(HostileSuite, EveryTruncationIsRefused) {
  fs::path dir = Goods::root() / "truncations";
  fs::copy(Goods::of(Base::Single), dir, fs::copy_options::recursive);
  RawFile file = readRaw(dir / "model.safetensors");
  std::string whole = readFile(dir / "model.safetensors");
  size_t headerEnd = 8 + file.header.size();
  auto header = [&](size_t length) {
    return parseSafeTensorsHeader(llvm::StringRef(whole).take_front(length),
                                  length, "model.safetensors");
  };
  ASSERT_TRUE(bool(header(whole.size())));
  for (size_t length = 0; length < whole.size();
       length += length < headerEnd ? 1 : 997) {
    auto result = header(length);
    ASSERT_FALSE(bool(result)) << length;
    llvm::consumeError(result.takeError());
  }
  fs::remove_all(dir);
}

// Single bytes of the header at random: refused or still a valid table, never a
// crash or a range outside of the file.
TEST(HostileSuite, DamagedHeadersStayInBounds) {
  std::string whole = readFile(Goods::of(Base::Single) / "model.safetensors");
  size_t headerEnd =
      8 + readRaw(Goods::of(Base::Single) / "model.safetensors").header.size();
  uint64_t state = 12345;
  auto random = [&state](uint64_t below) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (state >> 33) % below;
  };
  int refused = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string damaged = whole;
    for (uint64_t i = 0; i <= random(3); ++i)
      damaged[random(headerEnd)] = char(random(256));
    auto result = parseSafeTensorsHeader(damaged, damaged.size(), "m");
    if (!result) {
      llvm::consumeError(result.takeError());
      ++refused;
      continue;
    }
    for (const TensorInfo &info : *result) {
      ASSERT_LE(info.begin, info.end);
      ASSERT_LE(info.end, damaged.size());
    }
  }
  EXPECT_GT(refused, 1000);
}

} // namespace
