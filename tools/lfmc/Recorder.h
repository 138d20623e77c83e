// SPDX-License-Identifier: Apache-2.0
//
// When the threads of a session begin and end each phase of a program.
//
// The program runs as it was compiled. Its entries are wrapped, and the team's
// barrier, which ends every phase (lfm/program.h), is replaced by one that
// reads a clock before and after it: some 50 ns a phase.
#ifndef LFMC_TOOLS_LFMC_RECORDER_H
#define LFMC_TOOLS_LFMC_RECORDER_H

#include "lfm/program.h"

#include "llvm/ADT/ArrayRef.h"

#include <vector>

namespace lfmc::cli {

/// Seconds of std::chrono::steady_clock.
double now();

/// One phase on one thread; times as now() gives them.
struct PhaseRecord {
  enum Entry : int32_t { Decode, Prefill, Prompt, PromptEnd, Head };
  Entry entry;
  int32_t phase; ///< counts from 0 in each run of the entry
  double begin;  ///< of the work: the thread entered, or left the last barrier
  double arrive; ///< at the barrier
  double leave;  ///< the barrier
};

/// "decode", "prefill", "prompt", "prompt_end", "head": the names in NAME.json.
const char *entryName(PhaseRecord::Entry entry);

/// Records all sessions of one program; only one recorder at a time. Reading
/// and clearing are for the thread that runs the session, between its calls.
class Recorder {
public:
  explicit Recorder(const lfm_program &program);
  ~Recorder();
  Recorder(const Recorder &) = delete;
  Recorder &operator=(const Recorder &) = delete;

  /// The program to open instead; valid as long as the recorder, which must
  /// outlive its sessions.
  const lfm_program *program() const { return &wrapped; }

  void clear();
  /// Of thread `thread`, in the order of time; empty if it ran nothing.
  llvm::ArrayRef<PhaseRecord> records(int thread) const;

private:
  lfm_program wrapped;
};

} // namespace lfmc::cli

#endif // LFMC_TOOLS_LFMC_RECORDER_H
