// SPDX-License-Identifier: Apache-2.0
//
// Writing the measuring program's file (measure/job.h).
#ifndef LFMC_CODEGEN_TUNE_JOBFILE_H
#define LFMC_CODEGEN_TUNE_JOBFILE_H

#include "codegen/tune/MeasureOptions.h"
#include "codegen/tune/measure/job.h"
#include "targets/Kernels.h"

#include <cstring>
#include <vector>

namespace lfmc::tune {

/// An operand that is not records; they need more.
inline lfm_operand operandOf(uint32_t kind, uint64_t rows, uint64_t units,
                             uint64_t unit, uint64_t columns, uint64_t data) {
  lfm_operand operand = {};
  operand.kind = kind;
  operand.rows = uint32_t(rows);
  operand.units = units;
  operand.unit = unit;
  operand.columns = columns;
  operand.data = data;
  return operand;
}

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

  void setChunks(const Kernel (&kernels)[2], int64_t tokens) {
    for (int i : {0, 1})
      setChunks(i, kernels[i], tokens);
  }
  void setChunks(int index, const Kernel &kernel, int64_t tokens) {
    const kernel::ChunksAttr chunks = kernel.chunks;
    const int64_t pieces =
        chunks.getTokens()
            ? (tokens + chunks.getTokens() - 1) / chunks.getTokens()
            : 1;
    job.kernel[index].chunks = uint64_t(chunks.getFixed() * pieces);
  }
  /// The next operand of kernel `index`.
  void add(int index, const lfm_operand &operand) {
    lfm_job_kernel &kernel = job.kernel[index];
    kernel.operand[kernel.operands++] = operand;
  }

  // Of kernel 0:
  template <typename T>
  void addPlain(const std::vector<T> &values) {
    add(0, operandOf(LFM_OPERAND_PLAIN, 0, 0, values.size() * sizeof(T), 0,
                     append(values)));
  }
  /// Rows of `tokens` tokens, of which `distinct` are given.
  template <typename T>
  void addRows(const std::vector<T> &values, int64_t distinct) {
    add(0, operandOf(LFM_OPERAND_ROWS, uint64_t(distinct), 1,
                     values.size() * sizeof(T) / uint64_t(distinct), 0,
                     append(values)));
  }
  /// `count` records of f32, of which `distinct` are expected as given.
  void addFloats(const std::vector<float> &expected, int64_t count,
                 int64_t distinct, double tolerance, double relative) {
    lfm_operand records = operandOf(LFM_OPERAND_RECORDS, uint64_t(distinct),
                                    uint64_t(count), 0, 0, append(expected));
    records.run[2] = uint32_t(expected.size() / size_t(distinct));
    records.tolerance = tolerance;
    records.relative = relative;
    add(0, records);
  }

  /// Kernel 1 has the operands of kernel 0.
  void repeatOperands() {
    lfm_job_kernel &other = job.kernel[1];
    other.operands = job.kernel[0].operands;
    std::memcpy(other.operand, job.kernel[0].operand, sizeof other.operand);
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
