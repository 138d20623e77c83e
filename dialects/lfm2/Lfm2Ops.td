// SPDX-License-Identifier: Apache-2.0
#ifndef LFMC_DIALECTS_LFM2_OPS_TD
#define LFMC_DIALECTS_LFM2_OPS_TD

include "dialects/lfm2/Lfm2Attrs.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/IR/OpAsmInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

class Lfm2_Op<string mnemonic, list<Trait> traits = []>
    : Op<Lfm2_Dialect, mnemonic, traits>;

// The token count (dimension 0 of tokens and rows) is the only dimension that may
// be dynamic. Encodings say how weights are stored: only weights have them.
def Lfm2_NoEncoding
    : CPred<"!::llvm::cast<::mlir::RankedTensorType>($_self).getEncoding()">;
def Lfm2_Tokens : ConfinedType<1DTensorOf<[I32]>, [Lfm2_NoEncoding],
    "token ids: tensor<tokens x i32>", "::mlir::RankedTensorType">;
def Lfm2_Rows : ConfinedType<2DTensorOf<[F32]>,
    [CPred<"!::llvm::cast<::mlir::ShapedType>($_self).isDynamicDim(1)">,
     Lfm2_NoEncoding],
    "rows of f32, one per token: tensor<tokens x width x f32>",
    "::mlir::RankedTensorType">;
def Lfm2_QuantizedRows : ConfinedType<2DTensorOf<[F32]>,
    [CPred<"!::llvm::cast<::mlir::ShapedType>($_self).isDynamicDim(1)">,
     CPred<"::llvm::isa_and_nonnull<::lfmc::lfm2::QuantizedAttr>("
           "::llvm::cast<::mlir::RankedTensorType>($_self).getEncoding())">],
    "quantized rows: tensor<tokens x width x f32, #lfm2.quantized<32>>",
    "::mlir::RankedTensorType">;
def Lfm2_RoundedRows : ConfinedType<2DTensorOf<[BF16]>,
    [CPred<"!::llvm::cast<::mlir::ShapedType>($_self).isDynamicDim(1)">,
     Lfm2_NoEncoding],
    "rows of bf16: tensor<tokens x width x bf16>", "::mlir::RankedTensorType">;
def Lfm2_QuantizeResult : AnyTypeOf<[Lfm2_QuantizedRows, Lfm2_RoundedRows],
    "quantized rows or rows of bf16", "::mlir::RankedTensorType">;
def Lfm2_LinearInput : AnyTypeOf<[Lfm2_Rows, Lfm2_QuantizedRows, Lfm2_RoundedRows],
    "rows of f32 or bf16, or quantized rows", "::mlir::RankedTensorType">;
def Lfm2_Vector : ConfinedType<1DTensorOf<[F32]>, [HasStaticShapePred],
    "a static vector of f32", "::mlir::RankedTensorType">;
def Lfm2_Matrix : ConfinedType<2DTensorOf<[F32]>, [HasStaticShapePred],
    "a static matrix of f32", "::mlir::RankedTensorType">;
def Lfm2_Columns : ConfinedType<2DTensorOf<[F32]>,
    [HasStaticShapePred, Lfm2_NoEncoding],
    "recurrent state: tensor<rows x width x f32>", "::mlir::RankedTensorType">;
def Lfm2_Cache : ConfinedType<3DTensorOf<[F32, F16]>,
    [HasStaticShapePred, Or<[Lfm2_NoEncoding,
      CPred<"::llvm::isa_and_nonnull<::lfmc::lfm2::QuantizedCacheAttr>("
            "::llvm::cast<::mlir::RankedTensorType>($_self).getEncoding())">]>],
    "a cache: tensor<positions x heads x head size> of f32, f16 or "
    "#lfm2.quantized_cache",
    "::mlir::RankedTensorType">;

//===----------------------------------------------------------------------===//
// Symbols
//===----------------------------------------------------------------------===//

def Lfm2_WeightOp : Lfm2_Op<"weight", [Symbol]> {
  let summary = "a named weight of the model";
  let description = [{
    Declares a weight: its logical type with the `#lfm2.stored` encoding, and
    where its values come from (`#lfm2.source` or `#lfm2.rope_table`). `offset`
    is the byte offset in the weights file, set by `lfmc-assign-offsets`.

    Constraints: (C1) the type is a ranked, static tensor of f32 with a
    `#lfm2.stored` encoding; (C2) the source is `#lfm2.source` with at least one
    tensor, or a `#lfm2.rope_table` whose dim equals dimension 1.

    ```mlir
    lfm2.weight @l0.in_proj : tensor<6144x2048xf32, #lfm2.stored<bf16>>
        = #lfm2.source<"model.layers.0.conv.in_proj.weight">
    ```
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, TypeAttr:$type,
                       AnyAttr:$source, OptionalAttr<I64Attr>:$offset,
                       OptionalAttr<StrAttr>:$sym_visibility);
  let assemblyFormat = [{
    $sym_name `:` $type `=` $source (`at` $offset^)? attr-dict
  }];
  let hasVerifier = 1;
}

def Lfm2_StateOp : Lfm2_Op<"state", [Symbol]> {
  let summary = "a piece of a session's state";
  let description = [{
    Declares state that lives from one step to the next and is zero at the start
    of a sequence. `per_token` marks state that is indexed by the position in
    dimension 0 (KV caches: rewinding is free); without it the state is recurrent
    (short convolution). `offset` is the byte offset in the session's state, set
    by `lfmc-assign-offsets`; `layout`, set with the kernels, how a cache lies in
    memory (row-major without).

    Constraints: (C1) the type is a ranked, static tensor of f32 or f16; (C2) a layout
    needs `per_token`, rank 3, and lanes that divide dimension 0 (and the positions
    of a `#lfm2.quantized_cache`); (C3) the type has no other encoding.

    ```mlir
    lfm2.state @l2.k per_token : tensor<4096x8x64xf32>
    lfm2.state @l0.conv : tensor<2x2048xf32>
    ```
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, UnitAttr:$per_token,
                       TypeAttr:$type, OptionalAttr<Lfm2_CacheLayoutAttr>:$layout,
                       OptionalAttr<I64Attr>:$offset,
                       OptionalAttr<StrAttr>:$sym_visibility);
  let assemblyFormat = [{
    $sym_name (`per_token` $per_token^)? `:` $type (`layout` $layout^)?
    (`at` $offset^)? attr-dict
  }];
  let hasVerifier = 1;
}

def Lfm2_ParamOp : Lfm2_Op<"param", [Pure, DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "a weight as a value";
  let description = [{
    (C1) The symbol names an `lfm2.weight`; (C2) whose type is the result type.

    ```mlir
    %w = lfm2.param @l0.in_proj : tensor<6144x2048xf32, #lfm2.stored<bf16>>
    ```
  }];
  let arguments = (ins FlatSymbolRefAttr:$weight);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$weight attr-dict `:` type($result)";
}

//===----------------------------------------------------------------------===//
// Computation
//===----------------------------------------------------------------------===//

def Lfm2_EmbedOp : Lfm2_Op<"embed", [Pure]> {
  let summary = "row gather from the embedding";
  let description = [{
    `result[t, :] = table[tokens[t], :]`. The table is usually also the head's
    weight. Token ids are checked by the runtime.

    (C1) result is `[tokens, K]` for a table `[V, K]`.

    ```mlir
    %x = lfm2.embed %tokens, %w : (tensor<?xi32>, tensor<512x64xf32, #lfm2.stored<bf16>>) -> tensor<?x64xf32>
    ```
  }];
  let arguments = (ins Lfm2_Tokens:$tokens, Lfm2_Matrix:$table);
  let results = (outs Lfm2_Rows:$result);
  let assemblyFormat = "$tokens `,` $table attr-dict `:` functional-type(operands, results)";
  let hasVerifier = 1;
}

def Lfm2_RmsNormOp : Lfm2_Op<"rms_norm", [Pure, AllTypesMatch<["x", "result"]>]> {
  let summary = "root mean square normalisation over groups of a row";
  let description = [{
    A row is split in groups of D = size of `weight`;
    `result = weight * (x * rsqrt(mean(x^2) + eps))` per group. D = row width is
    the usual norm, D = head size the q/k norm.

    (C1) rank 2; (C2) D divides the row width; (C3) eps > 0.

    ```mlir
    %y = lfm2.rms_norm %x, %g eps 1.0e-05 : tensor<?x64xf32>, tensor<16xf32>
    ```
  }];
  let arguments = (ins Lfm2_Rows:$x, Lfm2_Vector:$weight, F64Attr:$eps);
  let results = (outs Lfm2_Rows:$result);
  let assemblyFormat = [{
    $x `,` $weight `eps` $eps attr-dict `:` type($x) `,` type($weight)
  }];
  let hasVerifier = 1;
}

def Lfm2_LinearOp : Lfm2_Op<"linear", [Pure, AttrSizedOperandSegments]> {
  let summary = "matrix product with a weight, with fused neighbours";
  let description = [{
    `h = norm ? rms_norm(x, norm, eps) : x`, `y = h · weightᵀ (+ bias)`, then
    activation `none`: `result = y (+ residual)`; activation `swiglu`: with
    `y = [a, b]` split in halves, `result = silu(a) * b`.
    The importer makes only the plain form (bias where the model has one); the
    rest is the work of the fusion passes.

    (C1) x is `[tokens, K]` for a weight `[N, K]`; (C2) result is `[tokens, N]`, or
    `[tokens, N/2]` with swiglu; (C3) bias has N elements; (C4) the norm weight has
    K elements and comes with `eps` > 0, and only then; (C5) the residual has the
    result's type and does not go with swiglu; (C6) x may be `#lfm2.quantized` if
    the weight is quantized, and of bf16 if it is not; then there is no norm.

    ```mlir
    %y = lfm2.linear %x, %w norm(%g) residual(%r) {eps = 1.0e-05 : f64}
        : (tensor<?x64xf32>, tensor<32x64xf32, #lfm2.stored<bf16>>, tensor<64xf32, #lfm2.stored<f32>>, tensor<?x32xf32>) -> tensor<?x32xf32>
    ```
  }];
  let arguments = (ins Lfm2_LinearInput:$x, Lfm2_Matrix:$weight,
                       Optional<Lfm2_Vector>:$bias, Optional<Lfm2_Vector>:$norm,
                       Optional<Lfm2_Rows>:$residual, OptionalAttr<F64Attr>:$eps,
                       DefaultValuedAttr<Lfm2_ActivationAttr,
                         "::lfmc::lfm2::Activation::None">:$activation);
  let results = (outs Lfm2_Rows:$result);
  let assemblyFormat = [{
    $x `,` $weight (`bias` `(` $bias^ `)`)? (`norm` `(` $norm^ `)`)?
    (`residual` `(` $residual^ `)`)? attr-dict
    `:` functional-type(operands, results)
  }];
  let hasVerifier = 1;
}

def Lfm2_QuantizeOp : Lfm2_Op<"quantize", [Pure]> {
  let summary = "round rows to blocks of int8, or to bf16";
  let description = [{
    `h = norm ? rms_norm(x, norm, eps) : x`; for each block of columns
    `scale = max|h| / 127`, `result = scale * round(h / scale)` (nearest, ties to
    even; 0 for a block of zeros). The result's values are f32; its encoding lets
    kernels hold codes and scales. A result of bf16 is `h`, each value rounded to the
    nearest bf16, ties to even. One op serves every linear that reads the row.

    (C1) result has x's shape and either the `#lfm2.quantized` encoding or elements of
    bf16, x has neither; (C2) the norm weight has K elements and comes with `eps` > 0,
    and only then.

    ```mlir
    %q = lfm2.quantize %x : (tensor<?x64xf32>) -> tensor<?x64xf32, #lfm2.quantized<32>>
    ```
  }];
  let arguments = (ins Lfm2_Rows:$x, Optional<Lfm2_Vector>:$norm,
                       OptionalAttr<F64Attr>:$eps);
  let results = (outs Lfm2_QuantizeResult:$result);
  let assemblyFormat = [{
    $x (`norm` `(` $norm^ `)`)? attr-dict `:` functional-type(operands, results)
  }];
  let hasVerifier = 1;
}

def Lfm2_ShortConvOp : Lfm2_Op<"short_conv", [Pure, AttrSizedOperandSegments]> {
  let summary = "causal depthwise short convolution over the tokens";
  let description = [{
    `z[t] = pre ? pre[t] * x[t] : x[t]`;
    `y[t] = Σ_{j<L} weight[:, j] * z[t - (L-1) + j] (+ bias)`, where z at negative
    t comes from `state` (row L-1+t); `result[t] = post ? post[t] * y[t] : y[t]`;
    `new_state` = the last L-1 rows of z (older rows from `state` when fewer than
    L-1 tokens came). With `pre` and `post` this is LFM2's gated operator.

    (C1) x is `[tokens, H]`, weight `[H, L]` with L >= 2; (C2) state is
    `[L-1, H]`; (C3) bias has H elements; (C4) pre and post have x's type;
    (C5) pre and post come together.

    ```mlir
    %y0, %s0 = lfm2.short_conv %x, %w, %s
        : (tensor<?x64xf32>, tensor<64x3xf32>, tensor<2x64xf32>) -> (tensor<?x64xf32>, tensor<2x64xf32>)
    ```
  }];
  let arguments = (ins Lfm2_Rows:$x, Lfm2_Matrix:$weight, Lfm2_Columns:$state,
                       Optional<Lfm2_Vector>:$bias, Optional<Lfm2_Rows>:$pre,
                       Optional<Lfm2_Rows>:$post);
  let results = (outs Lfm2_Rows:$result, Lfm2_Columns:$new_state);
  let assemblyFormat = [{
    $x `,` $weight `,` $state (`bias` `(` $bias^ `)`)?
    (`gates` `(` $pre^ `,` $post `)`)? attr-dict
    `:` functional-type(operands, results)
  }];
  let hasVerifier = 1;
}

def Lfm2_RopeOp : Lfm2_Op<"rope", [Pure, AllTypesMatch<["x", "result"]>]> {
  let summary = "rotary position embedding on the heads of a row";
  let description = [{
    Splits each row in heads of `head_dim` and rotates each by the angles of its
    position, `pos + t` for row t.

    (C1) rank 2 and `head_dim` divides the row width; (C2) `rope.dim` is even and
    at most `head_dim`.

    ```mlir
    %0 = lfm2.rope %x at %pos head_dim 64 <theta = 1.0e+06 : f64, dim = 64> : tensor<?x256xf32>
    ```
  }];
  let arguments = (ins Lfm2_Rows:$x, Index:$pos, I64Attr:$head_dim,
                       Lfm2_RopeAttr:$rope);
  let results = (outs Lfm2_Rows:$result);
  let assemblyFormat = [{
    $x `at` $pos `head_dim` $head_dim $rope attr-dict `:` type($x)
  }];
  let hasVerifier = 1;
}

def Lfm2_CacheWriteOp : Lfm2_Op<"cache_write", [Pure, AllTypesMatch<["cache", "result"]>]> {
  let summary = "append rows to a KV cache";
  let description = [{
    `result = cache` with rows `pos .. pos + tokens` replaced by the rows of x,
    each split in heads: `result[pos + t, h, d] = x[t, h * D + d]` (converted to the
    cache's element type, or with `#lfm2.quantized_cache` rounded to int8 with the
    head's scale).

    (C1) x is `[tokens, heads * D]` for a cache `[C, heads, D]`.

    ```mlir
    %0 = lfm2.cache_write %x into %c at %pos : tensor<?x128xf32>, tensor<32x2x64xf16>
    ```
  }];
  let arguments = (ins Lfm2_Rows:$x, Lfm2_Cache:$cache, Index:$pos);
  let results = (outs Lfm2_Cache:$result);
  let assemblyFormat = [{
    $x `into` $cache `at` $pos attr-dict `:` type($x) `,` type($cache)
  }];
  let hasVerifier = 1;
}

def Lfm2_RopeCacheOp : Lfm2_Op<"rope_cache", [Pure]> {
  let summary = "normalise and rotate q and k, append k and v to the caches";
  let description = [{
    The fused form of q/k `rms_norm` per head, `rope` and two `cache_write`s:
    `rotated = rope(rms_norm(q, q_norm))`,
    `new_k = cache_write(rope(rms_norm(k, k_norm)))`, `new_v = cache_write(v)`.

    (C1) k and v are `[tokens, heads * D]` for caches `[C, heads, D]`; (C2) q's
    width is a multiple of D; (C3) the norm weights have D elements; (C4) eps > 0;
    (C5) `rope.dim` is even and at most D; (C6) both caches have the same type.

    ```mlir
    %0:3 = lfm2.rope_cache %q, %k, %v norm(%g, %g) into %kc, %vc at %pos eps 1.0e-05 <theta = 1.0e+06 : f64, dim = 64>
        : (tensor<?x256xf32>, tensor<?x128xf32>, tensor<?x128xf32>, tensor<64xf32>, tensor<64xf32>, tensor<32x2x64xf32>, tensor<32x2x64xf32>, index)
        -> (tensor<?x256xf32>, tensor<32x2x64xf32>, tensor<32x2x64xf32>)
    ```
  }];
  let arguments = (ins Lfm2_Rows:$q, Lfm2_Rows:$k, Lfm2_Rows:$v,
                       Lfm2_Vector:$q_norm, Lfm2_Vector:$k_norm,
                       Lfm2_Cache:$k_cache, Lfm2_Cache:$v_cache, Index:$pos,
                       F64Attr:$eps, Lfm2_RopeAttr:$rope);
  let results = (outs Lfm2_Rows:$rotated, Lfm2_Cache:$new_k, Lfm2_Cache:$new_v);
  let assemblyFormat = [{
    $q `,` $k `,` $v `norm` `(` $q_norm `,` $k_norm `)` `into` $k_cache `,` $v_cache
    `at` $pos `eps` $eps $rope attr-dict
    `:` functional-type(operands, results)
  }];
  let hasVerifier = 1;
}

def Lfm2_AttentionOp : Lfm2_Op<"attention", [Pure, AllTypesMatch<["q", "result"]>]> {
  let summary = "grouped-query attention over the KV caches";
  let description = [{
    Query row t is at position `p = pos + t` and sees cache rows `0 .. p` (causal),
    of these only the last `window` if given. Query head h uses cache head
    `h / (query heads / cache heads)`:
    `result[t, h] = softmax(scale * q[t, h] · k[:, g]ᵀ) · v[:, g]`.

    (C1) the caches have the same type `[C, heads, D]`; (C2) q's width is a multiple
    of `heads * D`; (C3) scale > 0; (C4) window > 0.

    ```mlir
    %0 = lfm2.attention %q, %k, %v at %pos scale 0.125 : tensor<?x256xf32>, tensor<32x2x64xf16>, tensor<32x2x64xf16>
    ```
  }];
  let arguments = (ins Lfm2_Rows:$q, Lfm2_Cache:$k_cache, Lfm2_Cache:$v_cache,
                       Index:$pos, F64Attr:$scale, OptionalAttr<I64Attr>:$window);
  let results = (outs Lfm2_Rows:$result);
  let assemblyFormat = [{
    $q `,` $k_cache `,` $v_cache `at` $pos `scale` $scale (`window` $window^)?
    attr-dict `:` type($q) `,` type($k_cache) `,` type($v_cache)
  }];
  let hasVerifier = 1;
}

def Lfm2_SwigluOp : Lfm2_Op<"swiglu", [Pure, AllTypesMatch<["gate", "up", "result"]>]> {
  let summary = "silu(gate) * up";
  let description = [{
    `result = gate / (1 + exp(-gate)) * up`, element by element.

    ```mlir
    %0 = lfm2.swiglu %a, %b : tensor<?x64xf32>
    ```
  }];
  let arguments = (ins Lfm2_Rows:$gate, Lfm2_Rows:$up);
  let results = (outs Lfm2_Rows:$result);
  let assemblyFormat = "$gate `,` $up attr-dict `:` type($gate)";
}

include "dialects/lfm2/ExpertOps.td"

#endif // LFMC_DIALECTS_LFM2_OPS_TD
