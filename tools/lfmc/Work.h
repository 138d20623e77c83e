// SPDX-License-Identifier: Apache-2.0
//
// What a step has to do at least, worked out from NAME.json.
#ifndef LFMC_TOOLS_LFMC_WORK_H
#define LFMC_TOOLS_LFMC_WORK_H

#include "codegen/package/Manifest.h"

namespace lfmc::cli {

/// What a program multiplies in its matrices.
enum class Arithmetic { F32, Bf16, Int8 };

/// Bytes read and written in memory, and arithmetic operations (a multiply-add
/// counts two). Activations are not counted: they stay in caches.
struct Work {
  double bytes = 0, operations = 0;

  Work &operator+=(const Work &other) {
    bytes += other.bytes;
    operations += other.operations;
    return *this;
  }
};

/// The work of one package.
class WorkModel {
public:
  /// Throws what nlohmann::json throws for a manifest without these keys.
  explicit WorkModel(const Json &manifest);

  /// One step of `tokens` tokens behind `depth` others, with the logits of
  /// `rows` of them: reads each weight once (the head's only for rows > 0) and
  /// the caches up to its last position, writes its own positions, reads and
  /// writes the recurrent states.
  Work step(int64_t tokens, int64_t depth, int64_t rows) const;
  /// A prompt of `tokens` tokens behind `depth` others in steps of at most
  /// max_prefill, with the logits of the last token.
  Work prompt(int64_t tokens, int64_t depth) const;
  /// `tokens` tokens one by one, with logits.
  Work decode(int64_t tokens, int64_t depth) const;

  /// Int8 where most of the matrices' bytes are quantized, else Bf16 where the
  /// rows are rounded to it.
  Arithmetic arithmetic() const { return kind; }

private:
  double bodyBytes, headBytes, cacheBytes, recurrentBytes;
  double tokenOperations, pairOperations, headOperations;
  double promptOperations, promptPairOperations; ///< of a prompt's every token
  double endOperations, endPairOperations;       ///< of its last endRows
  int64_t maxPrefill, endRows;
  Arithmetic kind;
};

} // namespace lfmc::cli

#endif // LFMC_TOOLS_LFMC_WORK_H
