// SPDX-License-Identifier: Apache-2.0
//
// Tunes the kernels of a model: searches each one's space while there is time,
// then measures the winners again and keeps what still wins.
#ifndef LFMC_CODEGEN_TUNE_SESSION_H
#define LFMC_CODEGEN_TUNE_SESSION_H

#include "codegen/tune/Measurement.h"
#include "codegen/tune/Measurer.h"
#include "codegen/tune/Search.h"

#include <chrono>
#include <functional>
#include <optional>

namespace lfmc::tune {

struct SessionOptions {
  StrategyKind strategy = StrategyKind::Guided;
  double budgetSeconds = 600;
  uint64_t seed = 1;
  unsigned jobs = 0; ///< threads that compile; 0: all
  /// Measurements of one kernel and phase at most.
  size_t most = SIZE_MAX;
  bool confirm = true; ///< else no records: measurements only
  MeasureOptions measure;
};

/// How far one kernel of one phase is.
struct Progress {
  std::string kernel;
  Phase phase = Phase::One;
  size_t measured = 0, total = 0; ///< candidates
  double best = 1;                ///< speed-up so far, over the preset
  Outcome last;
  double secondsLeft = 0;
};

/// What a session tells while it runs; each may be empty.
struct SessionEvents {
  std::function<void(const Measurement &)> measured;
  std::function<void(const TuningRecord &)> won;
  std::function<void(const std::string &kernel)> lost; ///< keeps its preset
  std::function<void(const Progress &)> progress;
};

class Session {
public:
  Session(Measurer &measurer, const Target &target, Setting setting,
          SessionOptions options, SessionEvents events);
  ~Session();

  /// Adds a kernel; `known` are measurements of it that need not be repeated.
  llvm::Error add(const Task &task, const std::vector<Measurement> &known = {});

  /// Runs until all is measured, the time is over or `stop` is set. Fails when
  /// the device is lost; what was found until then has been told.
  llvm::Error run(const volatile bool &stop);

private:
  struct Search;
  struct Tuned;

  Search *mostWanted(const std::vector<Search *> &except);
  void tell(Search &search, size_t index, const Outcome &outcome);
  llvm::Error measureBatch();
  llvm::Error confirm(Tuned &tuned);
  llvm::Expected<double>
  measureAgain(Tuned &tuned, Phase phase, const Choice &choice,
               std::optional<int64_t> tokens = std::nullopt);
  std::vector<Choice> winners(Tuned &tuned) const;
  double secondsLeft() const;

  Measurer &measurer;
  const Target &target;
  Setting setting;
  SessionOptions options;
  SessionEvents events;
  std::vector<std::unique_ptr<Tuned>> tasks;
  std::chrono::steady_clock::time_point start;
};

} // namespace lfmc::tune

#endif // LFMC_CODEGEN_TUNE_SESSION_H
