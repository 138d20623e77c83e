// SPDX-License-Identifier: Apache-2.0
//
// Random operands of kernels and what they must give, computed plainly.
#ifndef LFMC_CODEGEN_TUNE_TESTDATA_H
#define LFMC_CODEGEN_TUNE_TESTDATA_H

#include "codegen/tune/Problem.h"

namespace lfmc::tune {

/// How a kernel reads quantized rows.
struct RowForm {
  int64_t together = 1; ///< tokens that lie together: 4 are a quad
  int64_t shared = 32;  ///< columns that share a scale; more: in weights, too
};

/// The job file (measure/job.h) for two kernels of one linear, each with its
/// layout of the weight; the values are the same on every machine. Of a
/// weight, two units of rows are made and reused (job.h).
std::vector<uint8_t> measuringJob(const LinearShape &linear,
                                  const Kernel (&kernels)[2], int64_t tokens,
                                  RowForm form, const MeasureOptions &options);

/// The same for two kernels of one attention: `tokens` queries behind
/// `position` others, in caches of Problem::positions positions. The caches
/// repeat two blocks of positions. A kernel of one token leaves parts
/// (targets/Kernels.h), of which maxima, sums and weighted values are compared.
std::vector<uint8_t> attentionJob(const AttentionShape &shape,
                                  const Kernel (&kernels)[2], int64_t tokens,
                                  int64_t position,
                                  const MeasureOptions &options);

} // namespace lfmc::tune

#endif // LFMC_CODEGEN_TUNE_TESTDATA_H
