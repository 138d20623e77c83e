// SPDX-License-Identifier: Apache-2.0
#ifndef LFMC_TOOLS_LFMC_OBSERVEDREADER_H
#define LFMC_TOOLS_LFMC_OBSERVEDREADER_H

#include "codegen/quantize/Calibration.h"
#include "lfm/program.h"

#include <cstdlib>
#include <memory>
#include <vector>

namespace lfmc::cli {

/// Reads sequences, one at a time on one thread, by a program that keeps what
/// its linears multiply (passes/calibrate/ObserveInputs.h).
class ObservedReader {
public:
  /// Where an input's rows are, and of which experts.
  struct Source {
    int64_t offset = -1;  ///< in the state; -1: the hidden rows
    int32_t experts = -1; ///< index in the program's table; -1: a linear
  };

  /// False without memory. `of` must outlive this.
  bool open(const lfm_program &of);

  /// From the first position on; at most max_prefill tokens.
  void read(const std::vector<int32_t> &tokens, const uint8_t *weights);

  /// Adds what the last sequence has for part `part` of an input.
  void add(Calibration &to, size_t input, int64_t part,
           const Source &source) const;

private:
  /// Memory of 64-byte alignment, zeroed.
  struct Memory {
    std::unique_ptr<uint8_t, decltype(&std::free)> data{nullptr, std::free};
    bool allocate(uint64_t bytes);
  };
  float *rows(int64_t offset) const;

  int64_t count = 0;                        // tokens of the last sequence
  std::vector<std::vector<int32_t>> chosen; // by layer of the table
  const lfm_program *program = nullptr;
  Memory state, arena, output;
};

} // namespace lfmc::cli

#endif // LFMC_TOOLS_LFMC_OBSERVEDREADER_H
