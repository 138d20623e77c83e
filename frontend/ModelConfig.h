// SPDX-License-Identifier: Apache-2.0
//
// What config.json and generation_config.json say about a model, in one
// spelling and checked: every field lies in the range that is documented with
// it, so no product of two of them and no tensor size of the model overflows an
// int64_t.
#ifndef LFMC_FRONTEND_MODELCONFIG_H
#define LFMC_FRONTEND_MODELCONFIG_H

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace lfmc {

/// What mixes the tokens in a layer.
enum class LayerType : uint8_t { Conv, FullAttention };

/// The checkpoint's spelling: "conv", "full_attention".
llvm::StringRef layerTypeName(LayerType type);

/// Sampling defaults of generation_config.json; negative: not given.
struct SamplingDefaults {
  float temperature = -1;       // 0 .. 100
  float topP = -1;              // > 0 .. 1
  float minP = -1;              // 0 .. 1
  float repetitionPenalty = -1; // > 0 .. 100
  int32_t topK = -1;            // 0 (off) .. vocabSize
  int32_t doSample = -1;        // 0: greedy, 1: sample
};

/// An LFM2 model: dense (model_type "lfm2") or a mixture of experts
/// ("lfm2_moe").
struct ModelConfig {
  int64_t vocabSize = 0;  // rows of the embedding, 1 .. 2^22
  int64_t hiddenSize = 0; // 1 .. 65536
  int64_t numLayers = 0;  // 1 .. 1024
  /// One entry per layer.
  std::vector<LayerType> layerTypes;
  int64_t numHeads = 0;   // query heads, 1 .. 1024
  int64_t numKvHeads = 0; // divides numHeads
  int64_t headDim = 0;    // even, 2 .. 1024; numHeads * headDim <= 65536
  /// Width of the feed-forward block after the auto-adjust rule, 1 .. 2^20; 0
  /// when the config names no width. Checkpoint replaces it by the width that
  /// the tensors have.
  int64_t ffnWidth = 0;
  /// Mixture of experts: the layers from numDenseLayers on have numExperts
  /// feed-forward blocks of expertWidth, of which a token takes
  /// expertsPerToken.
  int64_t numExperts = 0;       // 0: dense; 1 .. 1024
  int64_t expertsPerToken = 0;  // 1 .. min(numExperts, 64)
  int64_t expertWidth = 0;      // 1 .. 65536
  int64_t numDenseLayers = 0;   // 0 .. numLayers
  bool expertBias = false;      // added to the scores for the choice alone
  bool normalizeExperts = true; // the chosen experts' weights add up to 1
  double expertScaling = 1;     // of the weights, > 0 .. 1000
  int64_t convTaps = 3;  // conv_L_cache: taps of the short convolution, 2 .. 64
  bool convBias = false; // biases on in_proj, conv and out_proj
  double normEps = 1e-5; // > 0 .. 1; of all norms, q and k included
  double ropeTheta = 1e6;                 // 1 .. 1e12
  bool tieEmbeddings = true;              // the head's weight is the embedding
  int64_t maxPositionEmbeddings = 128000; // 1 .. 2^27

  int32_t bos = -1, pad = -1; // token ids below vocabSize; -1: none
  /// Stop tokens, without repetitions; generation_config.json's if it names
  /// any.
  std::vector<int32_t> eos;
  SamplingDefaults sampling;

  /// Oddities that a user may want to know, one line each.
  std::vector<std::string> notes;

  int64_t numAttentionLayers() const;
  int64_t numConvLayers() const;
  bool hasExperts(int64_t layer) const {
    return numExperts && layer >= numDenseLayers;
  }
  int64_t numExpertLayers() const {
    return numExperts ? numLayers - numDenseLayers : 0;
  }
  /// Parameters, the tied head counted once. Needs ffnWidth.
  int64_t parameterCount() const;
  /// Tensors that the checkpoint should hold.
  int64_t tensorCount() const;
  /// Elements of K and V that one position takes in all layers.
  int64_t kvElementsPerToken() const;
  /// Elements of the state of all short convolutions.
  int64_t convStateElements() const;

  /// Reads DIR/config.json and, where present, DIR/generation_config.json; or
  /// the metadata of a GGUF file.
  static llvm::Expected<ModelConfig> read(llvm::StringRef checkpoint);

  /// The same from parsed JSON; `generation` may be null. `where` and
  /// `generationWhere` name the files in messages.
  static llvm::Expected<ModelConfig>
  parse(const nlohmann::json &config, llvm::StringRef where,
        const nlohmann::json &generation = nullptr,
        llvm::StringRef generationWhere = "generation_config.json");
};

} // namespace lfmc

#endif // LFMC_FRONTEND_MODELCONFIG_H
