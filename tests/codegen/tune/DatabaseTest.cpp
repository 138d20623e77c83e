// SPDX-License-Identifier: Apache-2.0
#include "codegen/tune/Database.h"

#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace lfmc::tune {
namespace {

class DatabaseTest : public testing::Test {
protected:
  void SetUp() override {
    std::string pattern =
        std::filesystem::temp_directory_path() / "lfmc-db-XXXXXX";
    folder = mkdtemp(pattern.data());
    path = folder / "deep" / "tuning.sqlite";
  }
  void TearDown() override { std::filesystem::remove_all(folder); }

  static Measurement measurement(int64_t rows) {
    Measurement m;
    m.setting = {"x86-64-v3", "features", "cpu \"1\"/2", 4, "local"};
    m.kernel = "linear n=2 k=2 f32";
    m.phase = Phase::Many;
    m.choice = {{"rows", rows}};
    m.outcome.status = Status::Measured;
    m.outcome.ratio = 0.5;
    return m;
  }
  static TuningRecord record(double gain, int version = 4) {
    TuningRecord r;
    r.kernel = "linear n=2 k=2 f32";
    r.target = "x86-64-v3";
    r.version = version;
    r.choice = {{"rows", int64_t(gain * 10)}};
    r.gain = gain;
    return r;
  }

  std::filesystem::path folder, path;
};

TEST_F(DatabaseTest, KeepsMeasurementsAndRecords) {
  {
    Database database = llvm::cantFail(Database::open(path));
    for (int64_t rows : {8, 16, 8})
      ASSERT_FALSE(database.add(measurement(rows)));
    Measurement failed = measurement(4);
    failed.outcome.status = Status::Crashed;
    failed.outcome.message = "bytes \xff and 'quotes'";
    ASSERT_FALSE(database.add(failed));
    ASSERT_FALSE(database.add(record(1.5)));
    ASSERT_FALSE(database.add(record(1.4, 3))); // of another version: both stay
  }
  Database database = llvm::cantFail(Database::open(path, true));
  auto all = llvm::cantFail(database.measurements());
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all.back().outcome.status, Status::Crashed);
  EXPECT_EQ(all[0].outcome.ratio, 0.5);
  EXPECT_EQ(llvm::cantFail(database.records()).size(), 2u);
  Setting setting{"x86-64-v3", "", "", 4, ""};
  ASSERT_FALSE(database.drop("linear n=2 k=2 f32", setting));
  auto left = llvm::cantFail(database.records());
  ASSERT_EQ(left.size(), 1u);
  EXPECT_EQ(left[0].version, 3);
}

TEST_F(DatabaseTest, MergesByGain) {
  Database database = llvm::cantFail(Database::open(path));
  for (double gain : {1.2, 1.5, 1.1})
    ASSERT_FALSE(database.add(record(gain), /*onlyBetter=*/true));
  EXPECT_EQ(llvm::cantFail(database.records()).at(0).gain, 1.5);
  ASSERT_FALSE(database.add(record(1.1))); // a new measurement counts
  EXPECT_EQ(llvm::cantFail(database.records()).at(0).gain, 1.1);
}

TEST_F(DatabaseTest, ServesTwoTuners) {
  llvm::cantFail(Database::open(path));
  std::vector<pid_t> children;
  for (int child = 0; child < 2; ++child) {
    children.push_back(fork());
    if (children.back() == 0) {
      auto database = Database::open(path);
      bool failed = !database;
      for (int64_t i = 0; i < 100 && !failed; ++i)
        failed = bool(database->add(measurement(2 * i + child)));
      _exit(failed);
    }
  }
  for (pid_t child : children) {
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
  }
  Database database = llvm::cantFail(Database::open(path));
  EXPECT_EQ(llvm::cantFail(database.measurements()).size(), 200u);
}

TEST_F(DatabaseTest, ReportsAFullDiskAndLosesNothing) {
  Database database = llvm::cantFail(Database::open(path));
  ASSERT_FALSE(database.add(measurement(1)));
  const auto size = std::filesystem::file_size(path);
  // Files may not grow any more: what a full disk does.
  struct rlimit before, limit;
  getrlimit(RLIMIT_FSIZE, &before);
  limit = {size, before.rlim_max};
  std::signal(SIGXFSZ, SIG_IGN);
  setrlimit(RLIMIT_FSIZE, &limit);
  std::string text;
  for (int64_t i = 2; i < 400 && text.empty(); ++i)
    if (llvm::Error error = database.add(measurement(i)))
      text = llvm::toString(std::move(error));
  setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_NE(text.find("cannot write"), std::string::npos) << text;
  EXPECT_FALSE(llvm::cantFail(database.measurements()).empty());
  ASSERT_FALSE(database.add(measurement(1000)));
}

TEST_F(DatabaseTest, RefusesOtherFiles) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path) << std::string(4096, 'x');
  auto database = Database::open(path);
  ASSERT_FALSE(bool(database));
  EXPECT_NE(llvm::toString(database.takeError()).find("not a database"),
            std::string::npos);
  auto missing = Database::open(folder / "none", true);
  ASSERT_FALSE(bool(missing));
  llvm::consumeError(missing.takeError());
}

TEST_F(DatabaseTest, NamesBrokenLines) {
  std::string good = measurementLine(measurement(1));
  auto lines = parseLines(good + "\n{\"phase\": \"half\"}\n", "file");
  ASSERT_FALSE(bool(lines));
  EXPECT_NE(llvm::toString(lines.takeError()).find("file:2"),
            std::string::npos);
  auto both = parseLines(good + "\n" + recordLine(record(2)) + "\n", "file");
  ASSERT_TRUE(bool(both));
  EXPECT_EQ(both->measurements.size(), 1u);
  EXPECT_EQ(both->records.size(), 1u);
}

} // namespace
} // namespace lfmc::tune
