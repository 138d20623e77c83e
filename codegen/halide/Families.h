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
std::vector<Argument> attentionFinishArguments(const Params &params);
std::vector<Argument> copyArguments(const Params &params);
std::vector<Argument> embedArguments(const Params &params);
std::vector<Argument> linearArguments(const Params &params);
std::vector<Argument> rmsNormArguments(const Params &params);
std::vector<Argument> ropeArguments(const Params &params);
std::vector<Argument> shortConvArguments(const Params &params);
std::vector<Argument> shortConvPushArguments(const Params &params);
std::vector<Argument> swigluArguments(const Params &params);

Pipeline buildAdd(const Params &params, const Machine &machine);
Pipeline buildAttentionBlock(const Params &params, const Machine &machine);
Pipeline buildAttentionFinish(const Params &params, const Machine &machine);
Pipeline buildCopy(const Params &params, const Machine &machine);
Pipeline buildEmbed(const Params &params, const Machine &machine);
Pipeline buildLinear(const Params &params, const Machine &machine);
Pipeline buildRmsNorm(const Params &params, const Machine &machine);
Pipeline buildRope(const Params &params, const Machine &machine);
Pipeline buildShortConv(const Params &params, const Machine &machine);
Pipeline buildShortConvPush(const Params &params, const Machine &machine);
Pipeline buildSwiglu(const Params &params, const Machine &machine);

} // namespace lfmc::halide

#endif // LFMC_CODEGEN_HALIDE_FAMILIES_H
