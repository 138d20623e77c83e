// SPDX-License-Identifier: Apache-2.0
#include "codegen/package/Interrupt.h"

#include "llvm/Support/Signals.h"

#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/syscall.h>
#else
#include <dirent.h>
#endif

using namespace llvm;

namespace lfmc {
namespace {

std::atomic<bool> interrupted{false};
std::atomic_flag locked = ATOMIC_FLAG_INIT;
char transient[PATH_MAX]; // empty: nothing is under way

[[noreturn]] void waitForever() {
  for (;;)
    ::pause();
}

// Whoever holds it has the signals blocked and is about to let go, except for
// the handler, which ends the process.
void lock() {
  while (locked.test_and_set(std::memory_order_acquire))
    ::sched_yield();
}

void removeEntry(int folder, const char *name);

bool isDots(const char *name) {
  return !std::strcmp(name, ".") || !std::strcmp(name, "..");
}

// What a directory holds, as far as one reading finds it.
void removeContents(int folder) {
#ifdef __linux__
  // readdir() allocates, and the interrupted thread may be inside malloc().
  struct Entry {
    uint64_t inode;
    int64_t next;
    uint16_t bytes;
    uint8_t type;
    char name[];
  };
  alignas(Entry) char buffer[4096];
  long bytes;
  while ((bytes = ::syscall(SYS_getdents64, folder, buffer, sizeof buffer)) > 0)
    for (long at = 0; at < bytes;) {
      auto *entry = reinterpret_cast<const Entry *>(buffer + at);
      if (!isDots(entry->name))
        removeEntry(folder, entry->name);
      at += entry->bytes;
    }
#else
  if (DIR *listing = ::fdopendir(::dup(folder))) {
    while (const dirent *entry = ::readdir(listing))
      if (!isDots(entry->d_name))
        removeEntry(folder, entry->d_name);
    ::closedir(listing);
  }
#endif
}

void removeEntry(int folder, const char *name) {
  if (::unlinkat(folder, name, 0) == 0)
    return;
  int inner =
      ::openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (inner < 0)
    return;
  removeContents(inner);
  ::close(inner);
  ::unlinkat(folder, name, AT_REMOVEDIR);
}

// Other threads may add to it until it has another name, and file systems may
// skip entries when others disappear: again until it is gone. A directory that
// nobody may change stays behind after some seconds.
void removeTransient() {
  static char renamed[PATH_MAX];
  std::strcpy(renamed, transient);
  renamed[std::strlen(renamed) - 1] = '~';
  const char *name = ::rename(transient, renamed) ? transient : renamed;
  constexpr int tries = 4000;
  for (int i = 0; i < tries; ++i) {
    removeEntry(AT_FDCWD, name);
    struct stat status;
    if (::lstat(name, &status) && errno == ENOENT)
      return;
    const timespec millisecond = {0, 1000000};
    ::nanosleep(&millisecond, nullptr);
  }
}

void leave(int signal) {
  if (interrupted.exchange(true))
    waitForever(); // another thread is about to end the process
  lock();
  sys::RunInterruptHandlers(); // removes LLVM's files under way
  if (*transient)
    removeTransient();
  ::_exit(128 + signal);
}

} // namespace

void leaveOnInterrupts() {
  struct sigaction hangUp;
  ::sigaction(SIGHUP, nullptr, &hangUp);
  // LLVM installs its handlers when it is first told of a file, unless it has
  // done so before: then ours stay on top of them.
  sys::SetInterruptFunction([] {});
  struct sigaction action = {};
  action.sa_handler = leave;
  ::sigfillset(&action.sa_mask);
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  ::sigaction(SIGHUP, hangUp.sa_handler == SIG_IGN ? &hangUp : &action,
              nullptr);
}

void waitIfInterrupted() {
  if (interrupted)
    waitForever();
}

InterruptLock::InterruptLock() {
  // In this thread the handler would wait for itself.
  sigset_t all;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  lock();
}

InterruptLock::~InterruptLock() {
  locked.clear(std::memory_order_release);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void renameTransient(StringRef path) {
  std::memcpy(transient, path.data(), path.size());
  transient[path.size()] = 0;
}

void forgetTransient() { *transient = 0; }

std::error_code createTransient(StringRef path) {
  if (path.size() >= sizeof transient)
    return std::make_error_code(std::errc::filename_too_long);
  InterruptLock lock;
  renameTransient(path);
  if (::mkdir(transient, 0777) == 0)
    return {};
  std::error_code code(errno, std::generic_category());
  forgetTransient();
  return code;
}

} // namespace lfmc
