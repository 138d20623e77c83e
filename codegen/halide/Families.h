// SPDX-License-Identifier: Apache-2.0
//
// The families' functions, one pair per family; familyTable() lists them. Each
// source file states its family's parameters and buffer layouts.
#ifndef LFMC_CODEGEN_HALIDE_FAMILIES_H
#define LFMC_CODEGEN_HALIDE_FAMILIES_H

#include "codegen/halide/Family.h"

namespace lfmc::halide {

std::vector<Argument> addArguments(const Params &params);
std::vector<Argument> attentionBlockArguments(const Params &params);
std::vector<Argument> attentionCombineArguments(const Params &params);
std::vector<Argument> attentionFinishArguments(const Params &params);
std::vector<Argument> copyArguments(const Params &params);
std::vector<Argument> embedArguments(const Params &params);
std::vector<Argument> embedQArguments(const Params &params);
std::vector<Argument> linearArguments(const Params &params);
std::vector<Argument> linearQArguments(const Params &params);
std::vector<Argument> quantizeArguments(const Params &params);
std::vector<Argument> quantizeHeadsArguments(const Params &params);
std::vector<Argument> rmsNormArguments(const Params &params);
std::vector<Argument> rmsNormQuantizeArguments(const Params &params);
std::vector<Argument> ropeArguments(const Params &params);
std::vector<Argument> shortConvArguments(const Params &params);
std::vector<Argument> shortConvPushArguments(const Params &params);
std::vector<Argument> swigluArguments(const Params &params);

Pipeline buildAdd(const Params &params, const Machine &machine);
Pipeline buildAttentionBlock(const Params &params, const Machine &machine);
Pipeline buildAttentionCombine(const Params &params, const Machine &machine);
Pipeline buildAttentionFinish(const Params &params, const Machine &machine);
Pipeline buildCopy(const Params &params, const Machine &machine);
Pipeline buildEmbed(const Params &params, const Machine &machine);
Pipeline buildEmbedQ(const Params &params, const Machine &machine);
Pipeline buildLinear(const Params &params, const Machine &machine);
Pipeline buildLinearQ(const Params &params, const Machine &machine);
Pipeline buildQuantize(const Params &params, const Machine &machine);
Pipeline buildQuantizeHeads(const Params &params, const Machine &machine);
Pipeline buildRmsNorm(const Params &params, const Machine &machine);
Pipeline buildRmsNormQuantize(const Params &params, const Machine &machine);
Pipeline buildRope(const Params &params, const Machine &machine);
Pipeline buildShortConv(const Params &params, const Machine &machine);
Pipeline buildShortConvPush(const Params &params, const Machine &machine);
Pipeline buildSwiglu(const Params &params, const Machine &machine);

/// 1 / sqrt(mean of x^2 + eps) of each row of x (width, heads) or (width), with
/// parameter "eps"; to be placed by the caller.
Halide::Func rmsInverse(const Params &params, const Machine &machine,
                        const Halide::ImageParam &x, int width);

} // namespace lfmc::halide

#endif // LFMC_CODEGEN_HALIDE_FAMILIES_H
