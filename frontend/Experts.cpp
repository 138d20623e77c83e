// SPDX-License-Identifier: Apache-2.0
#include "frontend/Experts.h"

using namespace llvm;

namespace lfmc {

void readExperts(JsonFields &fields, ModelConfig &config) {
  constexpr int64_t maxExperts = 1024, maxChosen = 64, maxWidth = 65536;
  config.numExperts = fields.required({"num_experts"}, 1, maxExperts);
  config.expertsPerToken =
      fields.required({"num_experts_per_tok"}, 1, maxChosen);
  config.expertWidth = fields.required({"moe_intermediate_size"}, 1, maxWidth);
  config.numDenseLayers =
      fields.required({"num_dense_layers"}, 0, config.numLayers);
  config.expertBias = fields.boolean({"use_expert_bias"}).value_or(true);
  config.normalizeExperts = fields.boolean({"norm_topk_prob"}).value_or(true);
  config.expertScaling =
      fields.number({"routed_scaling_factor"}, 0, 1000, true).value_or(1);
  if (!fields.failed() && config.expertsPerToken > config.numExperts)
    fields.fail(fmt::format("'num_experts_per_tok' is {}, expected at most the "
                            "{} num_experts",
                            config.expertsPerToken, config.numExperts));
}

std::string expertTensor(int64_t layer, int64_t expert, StringRef matrix) {
  return fmt::format("model.layers.{}.feed_forward.experts.{}.{}.weight", layer,
                     expert, std::string_view(matrix));
}

Error splitExperts(SafeTensors &tensors, const ModelConfig &config) {
  struct Fused {
    StringRef name;
    std::vector<const char *> matrices; // of one expert, one after the other
  };
  static const Fused known[] = {{"gate_up_proj", {"w1", "w3"}},
                                {"down_proj", {"w2"}},
                                {"w1.weight", {"w1"}},
                                {"w2.weight", {"w2"}},
                                {"w3.weight", {"w3"}}};
  if (!config.numExperts)
    return Error::success();
  return tensors.split([&](StringRef name, const TensorInfo &info)
                           -> Expected<std::vector<SafeTensors::Piece>> {
    std::vector<SafeTensors::Piece> pieces;
    for (const Fused &fused : known) {
      StringRef base = name;
      if (!base.consume_back(fused.name) ||
          !base.ends_with(".feed_forward.experts."))
        continue;
      int64_t parts = int64_t(fused.matrices.size());
      bool down = fused.matrices[0] == StringRef("w2");
      int64_t width = config.expertWidth, hidden = config.hiddenSize;
      std::vector<int64_t> shape{down ? hidden : width, down ? width : hidden};
      std::vector<int64_t> whole{config.numExperts, parts * shape[0], shape[1]};
      if (info.shape != whole)
        return makeError("tensor {} has shape {}, expected {}",
                         inQuotes(info.name), shapeText(info.shape),
                         shapeText(whole));
      for (int64_t e = 0; e < config.numExperts; ++e)
        for (const char *matrix : fused.matrices)
          pieces.push_back(
              {fmt::format("{}{}.{}.weight", std::string_view(base), e, matrix),
               fmt::format("{}[{}]{}{}", info.name, e, parts > 1 ? "." : "",
                           parts > 1 ? matrix : ""),
               shape});
    }
    return pieces;
  });
}

} // namespace lfmc
