// SPDX-License-Identifier: Apache-2.0
#include "codegen/quantize/Experts.h"

#include <list>
#include <mutex>

using namespace llvm;

namespace lfmc {
namespace {

class ExpertsQuantizer : public pack::RowQuantizer {
public:
  ExpertsQuantizer(const QuantizerChoice &choice,
                   const Calibration::Input &input,
                   ArrayRef<float> columnFactors)
      : choice(choice), input(input), factors(columnFactors.vec()),
        plain(makeSearchQuantizer(nullptr)) {
    if (!input.ownRows)
      together = make(choice.calibration->moments(input.weight, factors));
  }

  int64_t quantize(float *values, int64_t rows, int64_t columns,
                   const pack::Blocks &blocks, int8_t *codes,
                   pack::BlockScale *scales) const override {
    return plain->quantize(values, rows, columns, blocks, codes, scales);
  }

  std::shared_ptr<const pack::RowQuantizer> ofRow(int64_t row) const override {
    int64_t expert = input.expertOf(row);
    const std::lock_guard<std::mutex> lock(mutex);
    for (auto at = recent.begin(); at != recent.end(); ++at)
      if (at->first == expert) {
        recent.splice(recent.begin(), recent, at);
        return recent.front().second;
      }
    recent.emplace_front(expert, ofExpert(expert));
    if (recent.size() > kept)
      recent.pop_back();
    return recent.front().second;
  }

private:
  std::unique_ptr<InputQuantizer> make(const InputMoments &moments) const {
    return choice.kind == QuantizerKind::Gptq ? makeFeedbackQuantizer(moments)
                                              : makeSearchQuantizer(&moments);
  }

  std::shared_ptr<const pack::RowQuantizer> ofExpert(int64_t expert) const {
    const Calibration &calibration = *choice.calibration;
    if (calibration.expertTokens(input.weight)[expert] <
        Calibration::leastTokens)
      return plain;
    if (together)
      return together->scaled(calibration.expertFactors(input.weight, expert));
    return make(calibration.expertMoments(input.weight, expert, factors));
  }

  // One holds some 16 MiB. Parts of a weight are packed in order: threads are
  // at neighbours.
  static constexpr size_t kept = 4;

  const QuantizerChoice choice;
  const Calibration::Input &input;
  const std::vector<float> factors;
  const std::shared_ptr<const InputQuantizer> plain;
  std::shared_ptr<const InputQuantizer> together; // of rows that all share
  mutable std::mutex mutex;                       // of what follows
  mutable std::list<
      std::pair<int64_t, std::shared_ptr<const pack::RowQuantizer>>>
      recent;
};

} // namespace

std::unique_ptr<pack::RowQuantizer>
makeExpertsQuantizer(const QuantizerChoice &choice,
                     const Calibration::Input &input,
                     ArrayRef<float> columnFactors) {
  return std::make_unique<ExpertsQuantizer>(choice, input, columnFactors);
}

} // namespace lfmc
