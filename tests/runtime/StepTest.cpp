// SPDX-License-Identifier: Apache-2.0
//
// Inside a step nothing is allocated and the system is asked for nothing but
// waiting. The allocator is replaced by one that counts; the system calls are
// forbidden by a filter in a child process.
#include "SessionFixture.h"

#include <array>
#include <atomic>
#include <csignal>
#include <cstddef>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern "C" void *__libc_malloc(size_t);
extern "C" void *__libc_calloc(size_t, size_t);
extern "C" void *__libc_realloc(void *, size_t);

static std::atomic<long> allocations{0};

extern "C" void *malloc(size_t bytes) {
  ++allocations;
  return __libc_malloc(bytes);
}
extern "C" void *calloc(size_t count, size_t bytes) {
  ++allocations;
  return __libc_calloc(count, bytes);
}
extern "C" void *realloc(void *memory, size_t bytes) {
  ++allocations;
  return __libc_realloc(memory, bytes);
}

namespace {

class StepTest : public SessionTest {
protected:
  /// Every call that makes steps; true if all worked.
  static bool steps(lfm_session *session, const int32_t *ids, float *logits) {
    lfm_generate_params params;
    lfm_generate_params_default(&params);
    params.sampling = {0.8f, 20, 0.9f, 0.01f, 1.1f, 3};
    params.max_tokens = 10;
    params.flags = LFM_GENERATE_IGNORE_EOS;
    bool good = true;
    for (int i = 0; i < 20; ++i) {
      good &= lfm_session_prefill(session, ids, 20, logits) == LFM_OK;
      good &= lfm_session_decode(session, 11, nullptr) == LFM_OK;
      good &= lfm_session_logits(session, ids, 9, logits) == LFM_OK;
      good &= lfm_generate(session, ids, 2, &params, nullptr, nullptr,
                           nullptr) == LFM_OK;
      lfm_session_reset(session);
    }
    return good;
  }
};

TEST_F(StepTest, AllocatesNothing) {
  Model model = open(program);
  Ids ids = prompt(20);
  std::vector<float> logits(64 * 20);
  for (int32_t threads : {1, 2, 4}) {
    Session session = start(model, threads);
    long before = allocations;
    bool good = steps(session.get(), ids.data(), logits.data());
    EXPECT_EQ(allocations, before) << threads << " threads";
    EXPECT_TRUE(good);
  }
  // The counter works: the tokenizer of the test itself would be seen.
  long before = allocations;
  free(malloc(100));
  EXPECT_EQ(allocations, before + 1);
}

constexpr int kForbidden = 41; // exit code of the child

/// From here on every system call but waiting and leaving ends the process.
bool forbidSystemCalls() {
  auto allow = [](uint32_t number) {
    return std::array<sock_filter, 2>{
        sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
        sock_filter BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  };
  std::vector<sock_filter> filter = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))};
  for (uint32_t number : {SYS_futex, SYS_exit_group, SYS_rt_sigreturn})
    for (const sock_filter &line : allow(number))
      filter.push_back(line);
  filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP));
  sock_fprog program = {static_cast<unsigned short>(filter.size()),
                        filter.data()};
  signal(SIGSYS, [](int) { _exit(kForbidden); });
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                 SECCOMP_FILTER_FLAG_TSYNC, &program) == 0;
}

/// Runs `body` in a child process with a filter; its exit code.
template <typename Body>
int inChild(Body body) {
  pid_t child = fork();
  if (child == 0)
    body();
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

TEST_F(StepTest, AsksTheSystemOnlyToWait) {
  // The filter works here at all, and it catches something.
  int works = inChild([] { _exit(forbidSystemCalls() ? 0 : 1); });
  if (works != 0)
    GTEST_SKIP() << "no system call filters on this machine";
  EXPECT_EQ(inChild([] {
              forbidSystemCalls();
              getppid();
              _exit(0);
            }),
            kForbidden);

  Ids ids = prompt(20);
  std::vector<float> logits(64 * 20);
  for (int32_t threads : {1, 2, 4})
    EXPECT_EQ(inChild([&] {
                Model model = open(program);
                Session session = start(model, threads);
                // Threads that just start still ask the system for things.
                lfm_session_decode(session.get(), 11, nullptr);
                if (!forbidSystemCalls())
                  _exit(2);
                _exit(steps(session.get(), ids.data(), logits.data()) ? 0 : 3);
              }),
              0)
        << threads << " threads";
}

} // namespace
