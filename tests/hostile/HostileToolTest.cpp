// SPDX-License-Identifier: Apache-2.0
//
// `lfmc compile` on every malformed checkpoint: an ordinary failure exit, the
// message on stderr, nothing written, within bounds of time and memory.
#include "HostileCases.h"

#include <gtest/gtest.h>

#include <csignal>
#include <cstring>
#include <thread>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace lfmc::hostile;
namespace fs = std::filesystem;

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LFMC_SANITIZED 1
#endif
#endif

namespace {

constexpr rlim_t maxCpuSeconds = 60;
constexpr auto maxWall = std::chrono::seconds(120);
// An unbounded allocation fails at once instead of taking the machine down.
constexpr rlim_t maxAddressSpace = rlim_t(8) << 30;
constexpr long maxResidentKiB = 1 << 20;

fs::path root() {
  static const fs::path path =
      fs::path(testing::TempDir()) /
      ("lfmc-hostile-tool-" + std::to_string(::getpid()));
  return path;
}

class Goods : public testing::Environment {
public:
  void SetUp() override {
    writeGood(Base::Single, root() / "single");
    writeGood(Base::Sharded, root() / "sharded");
  }
  void TearDown() override { fs::remove_all(root()); }
};

const testing::Environment *const goods =
    testing::AddGlobalTestEnvironment(new Goods);

struct Outcome {
  int exitCode = -1; // -1: did not exit by itself
  int signal = 0;
  long residentKiB = 0;
  std::string errors; // stderr
};

void limit(int resource, rlim_t value) {
  struct rlimit limits = {value, value};
  ::setrlimit(resource, &limits);
}

Outcome compile(const fs::path &checkpoint, const fs::path &output) {
  fs::path errorFile = root() / "stderr";
  pid_t child = ::fork();
  if (child == 0) {
    limit(RLIMIT_CPU, maxCpuSeconds);
    limit(RLIMIT_CORE, 0);
#ifndef LFMC_SANITIZED
    limit(RLIMIT_AS, maxAddressSpace);
#endif
    int null = ::open("/dev/null", O_RDWR);
    int error = ::open(errorFile.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ::dup2(null, 0);
    ::dup2(null, 1);
    ::dup2(error, 2);
    ::execl(LFMC_BINARY_DIR "/lfmc", "lfmc", "compile", checkpoint.c_str(),
            "-o", output.c_str(), static_cast<char *>(nullptr));
    ::_exit(126);
  }
  Outcome run;
  int status = 0;
  struct rusage usage = {};
  auto deadline = std::chrono::steady_clock::now() + maxWall;
  while (::wait4(child, &status, WNOHANG, &usage) == 0) {
    if (std::chrono::steady_clock::now() > deadline)
      ::kill(child, SIGKILL);
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  run.residentKiB = usage.ru_maxrss;
  run.errors = readFile(errorFile);
  if (WIFEXITED(status))
    run.exitCode = WEXITSTATUS(status);
  else
    run.signal = WTERMSIG(status);
  return run;
}

class HostileTool : public testing::TestWithParam<Case> {};

TEST_P(HostileTool, FailsCleanly) {
  const Case &entry = GetParam();
  fs::path work = root() / entry.name, input = work / "in",
           output = work / "out";
  fs::create_directories(work);
  fs::copy(root() / (entry.base == Base::Single ? "single" : "sharded"), input,
           fs::copy_options::recursive);
  entry.mutate(input);
  Outcome run = compile(input, output);

  EXPECT_EQ(run.signal, 0) << ::strsignal(run.signal) << "\n" << run.errors;
  EXPECT_GT(run.exitCode, 0) << run.errors;
  EXPECT_LT(run.exitCode, 126) << run.errors;
  for (const std::string &piece : entry.message)
    EXPECT_NE(run.errors.find(piece), std::string::npos)
        << "expected: " << piece << "\nfound: " << run.errors;
  EXPECT_EQ(run.errors.find("Stack dump"), std::string::npos) << run.errors;
  EXPECT_FALSE(fs::exists(output)) << "something was written";
#ifndef LFMC_SANITIZED
  EXPECT_LT(run.residentKiB, maxResidentKiB);
#endif
  // Neither beside the output nor into the checkpoint.
  size_t entries =
      std::distance(fs::directory_iterator(work), fs::directory_iterator());
  EXPECT_LE(entries, 1u);
  fs::remove_all(work);
}

INSTANTIATE_TEST_SUITE_P(Cases, HostileTool, testing::ValuesIn(allCases()),
                         [](const auto &info) { return info.param.name; });

TEST(HostileToolSuite, GoodCheckpointsCompile) {
  for (const char *name : {"single", "sharded"}) {
    fs::path output = root() / (std::string("out-") + name);
    Outcome run = compile(root() / name, output);
    EXPECT_EQ(run.exitCode, 0) << run.errors;
    EXPECT_TRUE(fs::exists(output) && !fs::is_empty(output));
  }
}

TEST(HostileToolSuite, UnwritableOutputIsAnError) {
  fs::path file = root() / "file";
  writeFile(file, "precious");
  Outcome run = compile(root() / "single", file / "out");
  EXPECT_GT(run.exitCode, 0);
  EXPECT_LT(run.exitCode, 126) << run.errors;
  EXPECT_FALSE(run.errors.empty());
  EXPECT_EQ(readFile(file), "precious");
}

} // namespace
