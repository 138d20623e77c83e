// SPDX-License-Identifier: Apache-2.0
//
// Mixture of experts. Included by Lfm2Ops.td, whose definitions it uses.
#ifndef LFMC_DIALECTS_LFM2_EXPERTOPS_TD
#define LFMC_DIALECTS_LFM2_EXPERTOPS_TD

def Lfm2_Choice : ConfinedType<2DTensorOf<[I32]>,
    [CPred<"!::llvm::cast<::mlir::ShapedType>($_self).isDynamicDim(1)">,
     Lfm2_NoEncoding],
    "chosen experts: tensor<tokens x top_k x i32>", "::mlir::RankedTensorType">;

def Lfm2_RouteOp : Lfm2_Op<"route", [Pure]> {
  let summary = "choose the experts of each token";
  let description = [{
    `s = sigmoid(logits)`; the `top_k` experts with the largest `s + bias` are
    chosen (of equal ones the first) and listed by ascending number in `experts`;
    their weights are `s` without the bias, with `normalize` divided by
    `sum + 1e-6`, and multiplied by `scaling`.
    The ascending order makes sums over experts independent of how tokens are
    grouped.

    (C1) logits are `[tokens, E]`, the bias has E elements; (C2) 1 <= top_k <= E;
    (C3) experts and weights are `[tokens, top_k]`; (C4) scaling > 0.

    ```mlir
    %e, %w = lfm2.route %l bias(%b) top 4 normalize scaling 1.0
        : (tensor<?x32xf32>, tensor<32xf32, #lfm2.stored<f32>>) -> (tensor<?x4xi32>, tensor<?x4xf32>)
    ```
  }];
  let arguments = (ins Lfm2_Rows:$logits, Optional<Lfm2_Vector>:$bias,
                       I64Attr:$top_k, UnitAttr:$normalize, F64Attr:$scaling);
  let results = (outs Lfm2_Choice:$experts, Lfm2_Rows:$weights);
  let assemblyFormat = [{
    $logits (`bias` `(` $bias^ `)`)? `top` $top_k (`normalize` $normalize^)?
    `scaling` $scaling attr-dict `:` functional-type(operands, results)
  }];
  let hasVerifier = 1;
}

def Lfm2_ExpertsOp : Lfm2_Op<"experts", [Pure, AttrSizedOperandSegments]> {
  let summary = "the linears of each token's chosen experts";
  let description = [{
    Slot j of token t is expert `e = chosen[t, j]`; `experts` matrices of equal
    shape are stacked in one weight. Activation `swiglu` is the first half of a
    feed-forward block, `none` the second:

    - `swiglu`: the weight holds the gates of all experts, F rows each, then
      their up projections. Columns `[j * F, (j + 1) * F)` of `result[t]` are
      `scales[t, j] * silu(gate_e · x[t]) * (up_e · x[t])`.
    - `none`: expert e has N rows from `e * N`, with F columns;
      `result[t] = (residual[t]) + Σ_j weight_e · x[t, j * F .. (j + 1) * F]`.

    The scales are the route's weights: applied before the second linear, they
    give the weighted sum of the experts.

    (C1) `experts` >= 1 divides the weight's rows (swiglu: 2 * `experts`);
    (C2) swiglu: x is `[tokens, K]` for a weight `[2 * experts * F, K]`, the result
    `[tokens, top_k * F]`; (C3) none: x is `[tokens, top_k * F]` for a weight
    `[experts * N, F]`, the result `[tokens, N]`; (C4) scales have the shape of
    `chosen` and come with swiglu, and only then; (C5) a residual has the result's
    type and does not go with swiglu; (C6) x may be `#lfm2.quantized` if the weight
    is quantized; (C7) all have the same tokens.

    ```mlir
    %h = lfm2.experts %x, %w13 of 32 chosen(%e) scales(%s) {activation = #lfm2.activation<swiglu>}
        : (tensor<?x64xf32>, tensor<3072x64xf32, #lfm2.stored<bf16>>, tensor<?x4xi32>, tensor<?x4xf32>) -> tensor<?x192xf32>
    %y = lfm2.experts %h, %w2 of 32 chosen(%e) residual(%r)
        : (tensor<?x192xf32>, tensor<2048x48xf32, #lfm2.stored<bf16>>, tensor<?x4xi32>, tensor<?x64xf32>) -> tensor<?x64xf32>
    ```
  }];
  let arguments = (ins Lfm2_LinearInput:$x, Lfm2_Matrix:$weight,
                       Lfm2_Choice:$chosen, Optional<Lfm2_Rows>:$scales,
                       Optional<Lfm2_Rows>:$residual, I64Attr:$experts,
                       DefaultValuedAttr<Lfm2_ActivationAttr,
                         "::lfmc::lfm2::Activation::None">:$activation);
  let results = (outs Lfm2_Rows:$result);
  let assemblyFormat = [{
    $x `,` $weight `of` $experts `chosen` `(` $chosen `)`
    (`scales` `(` $scales^ `)`)? (`residual` `(` $residual^ `)`)? attr-dict
    `:` functional-type(operands, results)
  }];
  let extraClassDeclaration = [{
    bool isSwiglu() { return getActivation() == Activation::Swiglu; }
    /// Columns of the result (swiglu) or of x (none) that belong to a slot.
    int64_t getSlotWidth() {
      return isSwiglu() ? getWeight().getType().getDimSize(0) / 2 /
                              int64_t(getExperts())
                        : getWeight().getType().getDimSize(1);
    }
    int64_t getTopK() { return getChosen().getType().getDimSize(1); }
  }];
  let hasVerifier = 1;
}

#endif // LFMC_DIALECTS_LFM2_EXPERTOPS_TD
