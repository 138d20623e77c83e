// SPDX-License-Identifier: Apache-2.0
#include "codegen/halide/Families.h"

namespace lfmc::halide {

const std::vector<Family> &familyTable() {
  static const std::vector<Family> table = {
      {"add", addArguments, buildAdd},
      {"attention_block", attentionBlockArguments, buildAttentionBlock},
      {"attention_combine", attentionCombineArguments, buildAttentionCombine},
      {"attention_finish", attentionFinishArguments, buildAttentionFinish},
      {"copy", copyArguments, buildCopy},
      {"embed", embedArguments, buildEmbed},
      {"embed_q", embedQArguments, buildEmbedQ},
      {"linear", linearArguments, buildLinear},
      {"linear_q", linearQArguments, buildLinearQ},
      {"quantize", quantizeArguments, buildQuantize},
      {"quantize_heads", quantizeHeadsArguments, buildQuantizeHeads},
      {"rms_norm", rmsNormArguments, buildRmsNorm},
      {"rms_norm_quantize", rmsNormQuantizeArguments, buildRmsNormQuantize},
      {"rope", ropeArguments, buildRope},
      {"short_conv", shortConvArguments, buildShortConv},
      {"short_conv_push", shortConvPushArguments, buildShortConvPush},
      {"swiglu", swigluArguments, buildSwiglu},
  };
  return table;
}

} // namespace lfmc::halide
