// SPDX-License-Identifier: Apache-2.0
#ifndef LFMC_CODEGEN_TUNE_MEASUREOPTIONS_H
#define LFMC_CODEGEN_TUNE_MEASUREOPTIONS_H

#include <cstdint>

namespace lfmc::tune {

/// How a candidate is measured.
struct MeasureOptions {
  int64_t tokens = 512; ///< of the many-token kernel
  unsigned threads = 0; ///< 0: all processors of the device
  double seconds = 0.3; ///< spent on timing
  unsigned limitSeconds = 20;
  uint64_t coldBytes = uint64_t(256) << 20; ///< more than any cache
  uint32_t cpuFeatures = 0; ///< LFM_CPU_*; a Problem sets its target's
};

} // namespace lfmc::tune

#endif // LFMC_CODEGEN_TUNE_MEASUREOPTIONS_H
