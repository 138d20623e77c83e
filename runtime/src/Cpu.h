// SPDX-License-Identifier: Apache-2.0
#ifndef LFM_SRC_CPU_H
#define LFM_SRC_CPU_H

#include <cstdint>

namespace lfm_rt {

/// The LFM_CPU_* bits that this processor and its operating system offer. Asks
/// the system for AMX state when `wanted` has an AMX bit.
uint32_t cpuFeatures(uint32_t wanted);

/// Names the lowest bit of `missing`, as in "AVX-512 (F, BW, CD, DQ, VL)".
const char *cpuFeatureName(uint32_t missing);

/// Number of processors that this process may run on, at least 1.
int allowedCpus();

} // namespace lfm_rt

#endif // LFM_SRC_CPU_H
