// SPDX-License-Identifier: Apache-2.0
//
// Random checkpoints at the shapes of the published models: for measurements
// and tests without a download. Text from them is nonsense; speed, memory and
// files are those of the real models.
#ifndef LFMC_FRONTEND_SYNTH_H
#define LFMC_FRONTEND_SYNTH_H

#include "frontend/ModelConfig.h"
#include "frontend/SafeTensors.h"

#include "llvm/ADT/STLFunctionalExtras.h"

#include <optional>

namespace lfmc {

/// What to write.
struct SynthOptions {
  /// One of synthPresets().
  std::string preset;
  /// Equal seeds and options give equal files, whatever the number of threads.
  uint64_t seed = 0;
  DType dtype = DType::BF16; // F32, F16 or BF16
  /// Tensors go to several files when they need more bytes than this (at least
  /// one tensor each).
  uint64_t maxShardBytes = 5'000'000'000;
  unsigned threads = 2;

  /// Only for mixtures of experts: replace the number of experts and how many a
  /// token takes (4). With `experts` "tiny" becomes one, whose first layer is
  /// dense. `layers`, for all presets, leaves out the last ones.
  std::optional<int64_t> experts, expertsPerToken;
  std::optional<int64_t> expertWidth; ///< only for "tiny" (64)
  /// Only for the preset "tiny", but for `layers`: replace its dimensions (4
  /// layers, every third one attention; hidden 64, 4 heads, 2 kv heads, FFN
  /// 160, vocabulary 512, 3 taps).
  std::optional<int64_t> layers, hidden, heads, kvHeads, headDim, ffn, vocab,
      convTaps;
  bool convBias = false, untied = false;
};

/// "350m", "700m", "1.2b", "2.6b", "8b-a1b", "24b-a2b", "2.5-230m", "2.5-2.6b",
/// "2.5-8b-a1b", "tiny".
std::vector<std::string> synthPresets();

/// The config that synthesize() writes, as config.json text. Errors: unknown
/// preset, dimensions that are out of range or given for another preset.
llvm::Expected<std::string> synthConfigJson(const SynthOptions &options);

/// Writes config.json, generation_config.json, tokenizer.json,
/// tokenizer_config.json, chat_template.jinja and the weights to `directory`,
/// which must be empty or absent. Weights have std 1/sqrt(fan-in), norms lie
/// around 1. Takes some 200 MiB of memory at most. On an error nothing stays
/// behind. `progress` is called with bytes of weights written so far and in
/// all.
llvm::Error
synthesize(const SynthOptions &options, llvm::StringRef directory,
           llvm::function_ref<void(uint64_t, uint64_t)> progress = nullptr);

} // namespace lfmc

#endif // LFMC_FRONTEND_SYNTH_H
