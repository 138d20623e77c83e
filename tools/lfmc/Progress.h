// SPDX-License-Identifier: Apache-2.0
#ifndef LFMC_TOOLS_LFMC_PROGRESS_H
#define LFMC_TOOLS_LFMC_PROGRESS_H

#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>

namespace lfmc::cli {

/// A line on stderr that shows how far long work is, if stderr is a terminal;
/// else nothing. Thread-safe.
class Progress {
public:
  Progress();
  ~Progress(); ///< Removes the line.

  /// `stage` is at `done` of `total`. Stages may overlap.
  void update(const std::string &stage, uint64_t done, uint64_t total);

private:
  void draw();

  std::mutex mutex;
  bool enabled, drawn = false;
  struct Stage {
    uint64_t done, total;
  };
  std::map<std::string, Stage> stages;
  std::chrono::steady_clock::time_point last;
};

} // namespace lfmc::cli

#endif // LFMC_TOOLS_LFMC_PROGRESS_H
