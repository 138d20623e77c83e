// SPDX-License-Identifier: Apache-2.0
//
// What this machine can do at best: streaming reads and multiply-adds,
// measured.
#ifndef LFMC_TOOLS_LFMC_ROOFLINE_H
#define LFMC_TOOLS_LFMC_ROOFLINE_H

#include "tools/lfmc/Work.h"

#include "llvm/Support/Error.h"

#include <cstdint>
#include <memory>
#include <string>

namespace lfmc::cli {

/// Measures again and again, so that it can be done between measurements of a
/// model: a machine that is shared changes from second to second.
class Roofline {
public:
  /// For a team of `threads` threads that run code which needs `cpuFeatures`
  /// (LFM_CPU_*), with that code's vectors. Bandwidth is that of `bytes` bytes,
  /// in huge pages where the system gives them; they are held until the end.
  static llvm::Expected<Roofline> create(int threads, uint32_t cpuFeatures,
                                         Arithmetic arithmetic,
                                         uint64_t bytes = uint64_t(1) << 30);

  /// Bytes per second that the threads read together, each its own share of the
  /// memory: the best of a few passes.
  double readBandwidth() const;

  /// Operations per second (a multiply-add counts two) that the threads reach
  /// together on registers alone: the best of a few passes. The peak of 8-bit
  /// integers is that of vpdpbusd, or of vpmaddubsw without the additions that
  /// must follow it.
  double arithmeticPeak() const;

  /// "f32 multiply-add, 512 bits", "bf16 dot product, 512 bits", "int8 dot
  /// product, 256 bits".
  std::string arithmeticName() const;

private:
  struct Memory {
    uint8_t *data = nullptr; // the first huge page
    void *mapped = nullptr;
    uint64_t share = 0, bytes = 0;
    ~Memory();
  };

  int threads = 1;
  uint32_t features = 0;
  Arithmetic arithmetic = Arithmetic::F32;
  std::unique_ptr<Memory> memory;
};

} // namespace lfmc::cli

#endif // LFMC_TOOLS_LFMC_ROOFLINE_H
