// SPDX-License-Identifier: Apache-2.0
#include "codegen/tune/Process.h"

#include "codegen/tune/Device.h"

#include <chrono>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

namespace lfmc::tune {

volatile bool interrupted = false;

namespace {

// In the child, between fork and exec: nothing that allocates.
[[noreturn]] void startChild(char *const *arguments, const char *input, int out,
                             int err) {
  setpgid(0, 0); // so that Ctrl-C is ours, and all it starts can be killed
  const int in = open(input, O_RDONLY);
  if (in < 0)
    _exit(127);
  dup2(in, 0);
  dup2(out, 1);
  dup2(err, 2);
  execvp(arguments[0], arguments);
  const char *reason = strerror(errno);
  if (write(2, reason, strlen(reason)) < 0)
    _exit(127);
  _exit(127);
}

} // namespace

Ended runProcess(const std::vector<std::string> &arguments,
                 const std::string &input, double seconds) {
  Ended ended;
  int out[2], err[2];
  if (pipe2(out, O_CLOEXEC))
    return ended;
  if (pipe2(err, O_CLOEXEC)) {
    close(out[0]), close(out[1]);
    return ended;
  }
  std::vector<char *> list;
  for (const std::string &argument : arguments)
    list.push_back(const_cast<char *>(argument.c_str()));
  list.push_back(nullptr);
  const char *file = input.empty() ? "/dev/null" : input.c_str();
  const pid_t child = fork();
  if (child == 0)
    startChild(list.data(), file, out[1], err[1]);
  close(out[1]), close(err[1]);
  if (child < 0) {
    ended.err = strerror(errno);
    close(out[0]), close(err[0]);
    return ended;
  }
  setpgid(child, child);

  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + std::chrono::duration<double>(seconds);
  struct pollfd polled[] = {{out[0], POLLIN, 0}, {err[0], POLLIN, 0}};
  std::string *texts[] = {&ended.out, &ended.err};
  bool killed = false;
  // A grandchild may hold the pipes open: the child's own end is what counts.
  int status = 0;
  bool over = false;
  while (!over || polled[0].fd >= 0 || polled[1].fd >= 0) {
    const int ready = poll(polled, 2, over ? 0 : 20);
    for (int i = 0; i < 2 && ready > 0; ++i) {
      if (polled[i].fd < 0 || !polled[i].revents)
        continue;
      char buffer[4096];
      const ssize_t count = read(polled[i].fd, buffer, sizeof buffer);
      if (count > 0)
        texts[i]->append(buffer, size_t(count));
      else if (count == 0)
        polled[i].fd = -1;
    }
    if (over && ready <= 0)
      break;
    if (!over)
      over = waitpid(child, &status, WNOHANG) == child;
    if (!over && !killed && (interrupted || Clock::now() > end)) {
      killed = true;
      ended.late = !interrupted;
      kill(-child, SIGKILL);
      kill(child, SIGKILL);
    }
  }
  kill(-child, SIGKILL); // what it may have left behind
  close(out[0]), close(err[0]);
  ended.code =
      WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  return ended;
}

} // namespace lfmc::tune
