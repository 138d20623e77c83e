// SPDX-License-Identifier: Apache-2.0
#include "tools/lfmc/Progress.h"

#include <fmt/format.h>

#include <cstdio>
#include <unistd.h>

namespace lfmc::cli {

Progress::Progress() : enabled(isatty(STDERR_FILENO)) {}

Progress::~Progress() {
  if (drawn)
    std::fputs("\r\x1b[K", stderr);
}

void Progress::update(const std::string &stage, uint64_t done, uint64_t total) {
  if (!enabled)
    return;
  std::lock_guard lock(mutex);
  stages[stage] = {done, total};
  auto now = std::chrono::steady_clock::now();
  if (drawn && done < total && now - last < std::chrono::milliseconds(100))
    return;
  last = now;
  draw();
}

void Progress::draw() {
  constexpr int width = 20;
  std::string line;
  for (const auto &[name, stage] : stages) {
    int filled = stage.total ? int(width * stage.done / stage.total) : width;
    line +=
        fmt::format("{}{} [{}{}] {:3d} %", line.empty() ? "" : "  ", name,
                    std::string(filled, '#'), std::string(width - filled, '.'),
                    stage.total ? int(100 * stage.done / stage.total) : 100);
  }
  std::fprintf(stderr, "\r\x1b[K%s", line.c_str());
  std::fflush(stderr);
  drawn = true;
}

} // namespace lfmc::cli
