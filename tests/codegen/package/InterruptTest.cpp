// SPDX-License-Identifier: Apache-2.0
//
// Signals at many moments of writing a package: processes of their own write,
// are interrupted, and must leave nothing.
#include "codegen/package/Interrupt.h"
#include "codegen/package/Package.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"

#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>

#include <sys/wait.h>
#include <unistd.h>

using namespace llvm;
namespace fs = std::filesystem;

namespace lfmc {
namespace {

class Interrupt : public testing::Test {
protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "lfmc-XXXXXX").string();
    root = mkdtemp(pattern.data());
  }
  void TearDown() override { fs::remove_all(root); }

  // Runs `write` in a process that gets `signal` the given time after it was
  // ready for it; its exit code, or -1 if it ended in another way.
  int interrupt(int signal, int microseconds,
                const std::function<void()> &write) {
    int ready[2];
    EXPECT_EQ(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
      alarm(60); // rather than hang
      leaveOnInterrupts();
      (void)!::write(ready[1], "x", 1);
      write();
      waitIfInterrupted();
      _exit(7);
    }
    char byte;
    EXPECT_EQ(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    close(ready[1]);
    usleep(microseconds);
    kill(child, signal);
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  // Names in the sandbox but for `allowed`.
  std::string leftovers(const std::string &allowed = "") {
    std::string names;
    for (const auto &entry : fs::directory_iterator(root))
      if (entry.path().filename() != allowed)
        names += entry.path().filename().string() + " ";
    return names;
  }

  fs::path root;
};

// Waits if the error is that of an interrupt.
template <typename T>
T wanted(Expected<T> value) {
  if (!value) {
    waitIfInterrupted();
    ADD_FAILURE() << toString(value.takeError());
    _exit(8);
  }
  return std::move(*value);
}

bool works(Error error) {
  bool failed = bool(error);
  consumeError(std::move(error));
  return !failed;
}

// As the packer does: a file that gets its name when it is complete.
void writeTemporaries(const std::string &folder) {
  for (unsigned i = 0;; ++i) {
    Expected<sys::fs::TempFile> file =
        sys::fs::TempFile::create(folder + "/%%%%%%%%.tmp");
    if (!file)
      return consumeError(file.takeError());
    if (i % 2 ? !works(file->keep(folder + "/kept")) : !works(file->discard()))
      return;
  }
}

TEST_F(Interrupt, ThreadsThatWriteLeaveNothing) {
  for (int i = 0; i < 160; ++i) {
    // Every other time another thread than the one that made the directory gets
    // the signal.
    auto write = [&] {
      StagedDirectory stage =
          wanted(StagedDirectory::create((root / "out").string(), false));
      std::string first = wanted(stage.file("first"));
      std::string folder = sys::path::parent_path(first).str();
      std::thread packer([=] { writeTemporaries(folder); });
      std::thread second([=] { writeTemporaries(folder); });
      if (i % 2) {
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, SIGINT);
        sigaddset(&set, SIGTERM);
        pthread_sigmask(SIG_BLOCK, &set, nullptr);
      }
      for (int file = 0; works(stage.write("a" + std::to_string(file % 40) +
                                               "/b/" + std::to_string(file),
                                           "text"));
           ++file)
        ;
      waitIfInterrupted();
      _exit(9);
    };
    int signal = i % 3 == 0 ? SIGTERM : SIGINT;
    ASSERT_EQ(interrupt(signal, i * 41, write), 128 + signal) << i;
    ASSERT_EQ(leftovers(), "") << i;
  }
}

TEST_F(Interrupt, PackagesArePutInPlaceWhole) {
  constexpr int files = 12;
  fs::path out = root / "out";
  for (int i = 0; i < 120; ++i) {
    auto write = [&] {
      for (;;) {
        StagedDirectory stage =
            wanted(StagedDirectory::create(out.string(), /*force=*/true));
        for (int file = 0; file < files; ++file)
          if (!works(stage.write("folder/" + std::to_string(file), "text")))
            waitIfInterrupted();
        if (!works(stage.commit()))
          waitIfInterrupted();
      }
    };
    ASSERT_EQ(interrupt(SIGINT, i * 53, write), 130) << i;
    ASSERT_EQ(leftovers("out"), "") << i;
    if (fs::exists(out))
      ASSERT_EQ(std::distance(fs::directory_iterator(out / "folder"),
                              fs::directory_iterator()),
                files)
          << i;
  }
  EXPECT_TRUE(fs::exists(out)); // else the signals were too early to tell
}

TEST_F(Interrupt, RemovesFromTheThreadThatHoldsNoLock) {
  // The signal comes while a lock is held: it waits for the end of it.
  auto write = [&] {
    StagedDirectory stage =
        wanted(StagedDirectory::create((root / "out").string(), false));
    std::string moved = (root / "moved").string();
    {
      InterruptLock lock;
      usleep(50000);
      fs::rename(sys::path::parent_path(wanted(stage.file("x"))).str(), moved);
      renameTransient(moved);
    }
    for (;;)
      pause();
  };
  ASSERT_EQ(interrupt(SIGINT, 20000, write), 130);
  EXPECT_EQ(leftovers(), "");
}

TEST_F(Interrupt, StaysUnderNohup) {
  signal(SIGHUP, SIG_IGN); // the child inherits it
  EXPECT_EQ(interrupt(SIGHUP, 1000, [] { usleep(30000); }), 7);
  signal(SIGHUP, SIG_DFL);
  EXPECT_EQ(interrupt(SIGHUP, 1000,
                      [] {
                        for (;;)
                          pause();
                      }),
            128 + SIGHUP);
}

} // namespace
} // namespace lfmc
