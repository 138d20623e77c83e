// SPDX-License-Identifier: Apache-2.0
//
// What this machine can do at best: streaming reads and multiply-adds,
// measured.
#ifndef LFMC_TOOLS_LFMC_ROOFLINE_H
#define LFMC_TOOLS_LFMC_ROOFLINE_H

#include "llvm/Support/Error.h"

#include <cstdint>

namespace lfmc::cli {

/// Bytes per second that `threads` threads read together from memory: each
/// streams through its own share of `bytes` (huge pages where the system gives
/// them), the best of `repeat` passes.
llvm::Expected<double> measureReadBandwidth(int threads, uint64_t bytes,
                                            int repeat);

/// f32 operations per second (a multiply-add counts two) that `threads` threads
/// reach together on registers alone, with the widest vectors of this
/// processor.
double measureFmaPeak(int threads, int repeat);

/// Bits of these vectors: 512, 256 or 128.
int fmaVectorBits();

} // namespace lfmc::cli

#endif // LFMC_TOOLS_LFMC_ROOFLINE_H
