// SPDX-License-Identifier: Apache-2.0
//
// GGUF files of the architectures lfm2 and lfm2moe, as llama.cpp's converter
// writes them, in the terms of the Hugging Face checkpoint that they were made
// of.
#ifndef LFMC_FRONTEND_GGUFCONFIG_H
#define LFMC_FRONTEND_GGUFCONFIG_H

#include "frontend/Gguf.h"
#include "frontend/ModelConfig.h"

namespace lfmc {

/// The config that the metadata and the names of the tensors describe. Refused
/// by name: other architectures, parts of a split model, what bends the model
/// (scaled or partial rope, windows, attention that is not causal), and all
/// that ModelConfig::parse refuses; messages name the file and the metadata
/// key.
llvm::Expected<ModelConfig> ggufConfig(const GgufHeader &header,
                                       llvm::StringRef path);

/// What the tensors are called in a Hugging Face checkpoint, one name for each:
/// "model.layers.3.conv.in_proj.weight" for "blk.3.shortconv.in_proj.weight". A
/// name that no model has stays as it is. Convolution taps get the shape that
/// they have there, [H, 1, K]. Fails when two tensors get the same name.
llvm::Expected<std::vector<std::string>> canonicalNames(GgufHeader &header,
                                                        llvm::StringRef path);

/// Whether the file brings a tokenizer.
bool hasTokenizer(const GgufHeader &header);

/// The tokenizer as the contents of a tokenizer.json: byte-level BPE (model
/// "gpt2") with the split of `tokenizer.ggml.pre`.
llvm::Expected<nlohmann::json> ggufTokenizer(const GgufHeader &header,
                                             llvm::StringRef path);

} // namespace lfmc

#endif // LFMC_FRONTEND_GGUFCONFIG_H
