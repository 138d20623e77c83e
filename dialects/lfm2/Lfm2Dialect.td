// SPDX-License-Identifier: Apache-2.0
#ifndef LFMC_DIALECTS_LFM2_DIALECT_TD
#define LFMC_DIALECTS_LFM2_DIALECT_TD

include "mlir/IR/OpBase.td"

def Lfm2_Dialect : Dialect {
  let name = "lfm2";
  let cppNamespace = "::lfmc::lfm2";
  let summary = "What an LFM2 model computes";
  let description = [{
    Operations of the LFM2 family on tensors: pure values, one dynamic dimension
    (the token count, always dimension 0). Weights are named parameters
    (`lfm2.weight`) whose bytes never enter the IR; how a weight lies in memory
    is its type's encoding (`#lfm2.stored`). State (KV caches, convolution
    columns) is declared by `lfm2.state` and flows through functions as values.

    A program has three functions: `@decode` (one token to logits), `@prefill`
    (tokens to hidden states after the final norm) and `@head` (hidden states to
    logits). An argument and the result that carries its new value are tied to a
    state symbol by the attribute `lfm2.state = @symbol`; `lfm2.max_tokens` on a
    function bounds its token count.

    Constraints: (D1) `lfm2.state` is on arguments and results of functions and
    names an `lfm2.state`; (D2) a tensor that carries it has the state's type;
    (D3) `lfm2.max_tokens` is an integer of at least 1.

    All arithmetic is f32. Source of the formulas: transformers 5.23,
    `models/lfm2/modeling_lfm2.py`.
  }];
  let useDefaultAttributePrinterParser = 1;
  let hasOperationAttrVerify = 1;
  let hasRegionArgAttrVerify = 1;
  let hasRegionResultAttrVerify = 1;
  let extraClassDeclaration = [{
    void registerAttributes();
  }];
}

#endif // LFMC_DIALECTS_LFM2_DIALECT_TD
