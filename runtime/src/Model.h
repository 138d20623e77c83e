// SPDX-License-Identifier: Apache-2.0
#ifndef LFM_SRC_MODEL_H
#define LFM_SRC_MODEL_H

#include "lfm/lfm.h"
#include "lfm/program.h"

#include "Experts.h"

#include <atomic>

/// An opened model. Immutable but for the count of its users (lfm_model_open
/// and every session hold it).
struct lfm_model {
  const lfm_program *program;
  const uint8_t *weights;
  size_t mappedBytes;
  const lfm_tokenizer *tokenizer;
  lfm_rt::ResidentExperts *residentExperts; // null: all may be
  std::atomic<int32_t> users;
};

namespace lfm_rt {

void retainModel(lfm_model *model);
void releaseModel(lfm_model *model);

} // namespace lfm_rt

#endif // LFM_SRC_MODEL_H
