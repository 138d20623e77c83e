// SPDX-License-Identifier: Apache-2.0
//
// The driver's part that quantizes.
#include "codegen/pack/Dequantize.h"
#include "codegen/package/Driver.h"
#include "codegen/quantize/Equalize.h"
#include "frontend/Errors.h"
#include "frontend/Gguf.h"
#include "passes/Pipeline.h"
#include "passes/calibrate/ObserveInputs.h"

#include <map>

using namespace llvm;

namespace lfmc {

Error Compilation::optimise() {
  if (Error error = run([&](mlir::OpPassManager &passes) {
        buildGraphPipeline(passes);
        buildQuantization(passes, options.quant, options.bf16Rows);
      }))
    return error;
  remarkRounded();
  return equalise();
}

// Moves scale between channels, which GGUF's codes do not allow.
Error Compilation::equalise() {
  if (options.observe && mlir::failed(observeInputs(*module)))
    return takeDiagnostics("observation");
  const QuantizerChoice &quantizer = options.quantizer;
  if (options.quant.empty() || !quantizer.calibration ||
      quantizer.kind == QuantizerKind::Nearest || isGguf(options.checkpoint))
    return Error::success();
  Expected<int64_t> scaled =
      equalizeChannels(*module, *checkpoint, *quantizer.calibration);
  if (!scaled)
    return scaled.takeError();
  scaledChannels = *scaled;
  return Error::success();
}

// Says which of GGUF's types are not stored as they are, one line for each.
void Compilation::remarkRounded() {
  std::map<std::string, unsigned> counts;
  for (auto weight : module->getOps<lfm2::WeightOp>()) {
    auto sources = dyn_cast<lfm2::SourceAttr>(weight.getSource());
    auto type = cast<mlir::RankedTensorType>(weight.getType());
    auto stored = cast<lfm2::StoredAttr>(type.getEncoding());
    if (!sources || !stored.isQuantized())
      continue;
    std::string kind = lfm2::stringifyStoredKind(stored.getKind()).str();
    for (mlir::StringAttr name : sources.getTensors()) {
      DType dtype = checkpoint->find(name)->dtype;
      bool kept =
          pack::holdsCodes(pack::formatOf(dtype), pack::blocksOf(stored));
      if (dtypeElements(dtype) > 1 && (!kept || dtype == DType::Q4_K))
        ++counts[fmt::format(
            "of type {} {} {}", std::string_view(dtypeName(dtype)),
            kept ? "keep their codes in" : "are rounded to", kind)];
    }
  }
  for (const auto &[how, count] : counts)
    if (options.remark)
      options.remark(fmt::format("{} tensors {}", count, how));
}

namespace {

// By layer, of the experts that calibration has met: how many tokens each saw.
Json coverageJson(const Calibration &calibration) {
  std::map<int64_t, const std::vector<int64_t> *> layers;
  for (const Calibration::Input &input : calibration.inputs())
    if (input.experts)
      layers[layerOf(input.weight)] = &calibration.expertTokens(input.weight);
  Json rows = Json::array();
  for (const auto &[layer, tokens] : layers) {
    std::vector<int64_t> sorted = *tokens;
    llvm::sort(sorted);
    rows.push_back(
        {{"layer", layer},
         {"least", sorted.front()},
         {"median", sorted[sorted.size() / 2]},
         {"unseen", llvm::count(sorted, 0)},
         {"too_few", llvm::count_if(sorted,
                                    [](int64_t count) {
                                      return count < Calibration::leastTokens;
                                    })},
         {"tokens", *tokens}});
  }
  return rows;
}

} // namespace

Json Compilation::quantizationJson() const {
  if (options.quant.empty())
    return nullptr;
  const QuantizerChoice &choice = options.quantizer;
  Json json = {{"schemes", options.quant},
               {"quantizer", quantizerName(choice.kind).str()},
               {"calibration", nullptr}};
  if (choice.calibration) {
    json["calibration"] = {{"text", choice.calibration->text},
                           {"tokens", choice.calibration->tokens},
                           {"scaled_channels", scaledChannels}};
    if (Json rows = coverageJson(*choice.calibration); !rows.empty())
      json["calibration"]["experts"] = std::move(rows);
  }
  return json;
}

} // namespace lfmc
