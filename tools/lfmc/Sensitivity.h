// SPDX-License-Identifier: Apache-2.0
//
// How much a model's next tokens change when one group of its tensors is stored
// in blocks of few bits: a package of the model as it is gets the rounded
// values in the place of its own, reads tokens, and gets its own back.
#ifndef LFMC_TOOLS_LFMC_SENSITIVITY_H
#define LFMC_TOOLS_LFMC_SENSITIVITY_H

#include "codegen/pack/Plan.h"
#include "tools/lfmc/Evaluation.h"

#include "llvm/ADT/StringMap.h"

#include <map>

namespace lfmc::cli {

/// Sequences of tokens to measure with. The first of each begins a text.
using TokenRuns = std::vector<std::vector<int32_t>>;

/// Tokens that `model` writes itself: sampled at temperature 1 without any
/// filter, at least `tokens` of them in runs of at most `length`, which end
/// where the model ends a text. Fixed seeds: equal calls give equal tokens.
llvm::Expected<TokenRuns> sampleRuns(const Model &model, int64_t tokens,
                                     int64_t length, int threads);

/// The tokens of `text`, cut; at most `tokens`, taken from all over the text.
/// `name` stands for it in messages.
llvm::Expected<TokenRuns> textRuns(const Model &model, llvm::StringRef text,
                                   llvm::StringRef name, int64_t tokens,
                                   int64_t length);

/// Mean divergence over all positions of the runs, in nats.
struct Change {
  double topK = 0, kld = 0;
};

class Sensitivity {
public:
  /// Opens `package`, whose weights are f32, f16 or bf16, and reads its weights
  /// into memory. `plan` says how the same weights are made, factors and
  /// quantizers included, if they are quantized; what it refers to must outlive
  /// this, as must `tensors`.
  static llvm::Expected<std::unique_ptr<Sensitivity>>
  open(llvm::StringRef package, std::vector<pack::PlannedWeight> plan,
       const SafeTensors &tensors, int threads);

  const Model &model() const { return loaded; }

  /// Reads `runs` with the weights as they are: what all changes are from.
  llvm::Error setReference(TokenRuns runs);
  int64_t positions() const;

  /// With the weights of these names (NAME.json) rounded to `blocks`.
  llvm::Expected<Change> measure(llvm::ArrayRef<std::string> names,
                                 const pack::Blocks &blocks);
  /// Of another package of the same model.
  llvm::Expected<Change> measure(const Model &other) const;

private:
  explicit Sensitivity(const SafeTensors &tensors) : tensors(tensors) {}
  const pack::RowQuantizer &quantizerOf(const pack::PlannedWeight &weight);
  llvm::Error round(const Json &weight, const pack::Blocks &blocks);
  llvm::Error forEachPiece(
      LogitReader &reader,
      llvm::function_ref<llvm::Error(size_t first, size_t count)> visit) const;
  llvm::Expected<Change> compare(LogitReader &reader) const;

  const SafeTensors &tensors;
  llvm::StringMap<pack::PlannedWeight> plan; // by name
  /// Of the weights measured last: forms of the same weights follow each other.
  std::map<std::string, std::unique_ptr<pack::RowQuantizer>> quantizers;
  Model loaded;
  uint8_t *weights = nullptr; // of `loaded`, writable
  LogitReader reader;
  int threads = 0;
  int64_t rows = 0; // of a piece
  TokenRuns runs;
  std::vector<float> reference; // [positions][vocabulary]
};

} // namespace lfmc::cli

#endif // LFMC_TOOLS_LFMC_SENSITIVITY_H
