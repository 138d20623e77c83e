// SPDX-License-Identifier: Apache-2.0
//
// Where the time of a prompt and of a decoded token goes: by operation and
// layer, and how long threads wait for each other.
#ifndef LFMC_TOOLS_LFMC_PROFILE_H
#define LFMC_TOOLS_LFMC_PROFILE_H

#include "tools/lfmc/Loader.h"
#include "tools/lfmc/Recorder.h"

namespace lfmc::cli {

struct ProfileOptions {
  int64_t prefill = 512; ///< tokens of the prompt
  int64_t depth = 0;     ///< positions filled before the decoded token
  int threads = 0, repeat = 5;
  bool read = false; ///< weights into memory instead of mapping them
};

/// A phase of the program, the piece between two barriers: one operation or,
/// where cheap ones are done by every thread before it, a few ("norm+w13").
struct ProfiledPhase {
  PhaseRecord::Entry entry;
  int32_t phase;
  std::string kind; ///< "norm+in_proj", "attention", "head", …
  std::string layer; ///< "0", "1", …; before the first "input", behind "output"
  int64_t runs = 0; ///< in the step: a prompt may take several
  /// Seconds by thread: at work, and at the barrier behind it.
  std::vector<double> work, wait;

  double meanWork() const;
  double meanWait() const;
};

/// One prompt or token. The means over threads of work and wait of all phases
/// and `outside` add up to `seconds`.
struct ProfiledStep {
  std::string what; ///< "prefill" or "decode"
  int64_t tokens, depth;
  double seconds = 0;
  double outside = 0; ///< waking the threads, copying logits
  std::vector<ProfiledPhase> phases;
};

struct Profile {
  std::string name, target;
  int threads = 0;
  std::vector<ProfiledStep> steps; ///< the prompt, the token

  /// Runs the package in the directory `package`, which stays as it is: of
  /// `repeat` repetitions of a step the one of median time. Fails if prompt or
  /// depth do not fit the context.
  static llvm::Expected<Profile> measure(const std::string &package,
                                         const ProfileOptions &options);

  Json json() const;
  std::string table() const; ///< operations by time, then layers
  std::string svg() const;   ///< a bar a layer, stacked by operation
};

/// The phases of a manifest's functions, without times.
std::vector<ProfiledPhase> phasesOf(const Json &manifest);

} // namespace lfmc::cli

#endif // LFMC_TOOLS_LFMC_PROFILE_H
