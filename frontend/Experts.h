// SPDX-License-Identifier: Apache-2.0
//
// What a mixture of experts adds to configs and checkpoints.
#ifndef LFMC_FRONTEND_EXPERTS_H
#define LFMC_FRONTEND_EXPERTS_H

#include "frontend/JsonFields.h"
#include "frontend/ModelConfig.h"
#include "frontend/SafeTensors.h"

namespace lfmc {

/// Reads the fields of model_type "lfm2_moe" into `config`, whose layers are
/// known. Failures go to `fields`.
void readExperts(JsonFields &fields, ModelConfig &config);

/// Canonical name of a matrix of an expert, "w1", "w2" or "w3":
/// "model.layers.2.feed_forward.experts.5.w1.weight".
std::string expertTensor(int64_t layer, int64_t expert, llvm::StringRef matrix);

/// Cuts tensors that hold all experts of a layer into the matrices of single
/// experts, so that there is one layout. `[E, 2F, H]` gate_up_proj (an expert's
/// w1, then its w3), `[E, H, F]` down_proj, and `w1.weight`, `w2.weight`,
/// `w3.weight` of rank 3, as GGUF's are called (see canonicalNames). Fails for
/// another shape and for experts that are there twice.
llvm::Error splitExperts(SafeTensors &tensors, const ModelConfig &config);

} // namespace lfmc

#endif // LFMC_FRONTEND_EXPERTS_H
