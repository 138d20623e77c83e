// SPDX-License-Identifier: Apache-2.0
//
// Writing the measuring program's file (measure/job.h).
#ifndef LFMC_CODEGEN_TUNE_JOBFILE_H
#define LFMC_CODEGEN_TUNE_JOBFILE_H

#include "codegen/tune/Problem.h"

#include <cstring>

namespace lfmc::tune {

class JobFile {
public:
  JobFile(const MeasureOptions &options, int64_t tokens, double tolerance)
      : file(sizeof job) {
    std::memcpy(job.magic, LFM_JOB_MAGIC, sizeof job.magic);
    job.tokens = uint64_t(tokens);
    job.cold_bytes = options.coldBytes;
    job.threads = options.threads;
    job.limit_seconds = options.limitSeconds;
    job.seconds = options.seconds;
    job.tolerance = tolerance;
  }

  /// Where the data are.
  uint64_t append(const void *data, size_t bytes) {
    file.resize((file.size() + 63) / 64 * 64);
    const uint64_t at = file.size();
    auto *begin = static_cast<const uint8_t *>(data);
    file.insert(file.end(), begin, begin + bytes);
    return at;
  }
  template <typename T>
  uint64_t append(const std::vector<T> &values) {
    return append(values.data(), values.size() * sizeof(T));
  }

  /// The next operand of kernel `index`: kind, rows, units, unit, columns,
  /// data.
  void add(int index, const lfm_operand &operand) {
    lfm_job_kernel &kernel = job.kernel[index];
    kernel.operand[kernel.operands++] = operand;
  }

  std::vector<uint8_t> take() {
    job.bytes = file.size();
    std::memcpy(file.data(), &job, sizeof job);
    return std::move(file);
  }

  lfm_job job = {};

private:
  std::vector<uint8_t> file;
};

} // namespace lfmc::tune

#endif // LFMC_CODEGEN_TUNE_JOBFILE_H
