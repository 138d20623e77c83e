// SPDX-License-Identifier: Apache-2.0
//
// The processors on which the threads of a session run.
#ifndef LFM_SRC_CORES_H
#define LFM_SRC_CORES_H

#include "Support.h"

#include "lfm/lfm.h"

namespace lfm_rt {

/// A set of processors by their number in the system.
struct Processors {
  static constexpr int kMost = 1024;
  uint64_t words[kMost / 64]; ///< all 0: no choice, the system's is left alone

  bool has(int processor) const {
    return words[processor / 64] >> (processor % 64) & 1;
  }
  void set(int processor, bool in) {
    const uint64_t bit = uint64_t{1} << (processor % 64);
    uint64_t &word = words[processor / 64];
    word = in ? word | bit : word & ~bit;
  }
  int count() const {
    int bits = 0;
    for (uint64_t word : words)
      bits += __builtin_popcountll(word);
    return bits;
  }
};

/// Those of `allowed` that `cores` (LFM_CORES_*) and `mask` (0: all) keep. What
/// processors can do is in `folder`: cpuN/cpu_capacity, or else
/// cpuN/cpufreq/cpuinfo_max_freq; processors of which nothing is said count as
/// large.
Processors chooseProcessors(const Processors &allowed, uint32_t cores,
                            uint64_t mask, const char *folder);

/// The choice of a session's options for this process; none if they leave it to
/// the system. An error names what was asked and what there is.
lfm_status chooseProcessors(const lfm_session_options &options,
                            Processors &chosen, const Message &message);

/// The calling thread then runs on `chosen` only. False: the system refused.
bool bindThread(const Processors &chosen);

} // namespace lfm_rt

#endif // LFM_SRC_CORES_H
