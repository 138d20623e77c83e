// SPDX-License-Identifier: Apache-2.0
#ifndef LFMC_DIALECTS_LFM2_ATTRS_TD
#define LFMC_DIALECTS_LFM2_ATTRS_TD

include "dialects/lfm2/Lfm2Dialect.td"
include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/EnumAttr.td"
include "mlir/IR/TensorEncoding.td"

class Lfm2_Attr<string name, string attrMnemonic, list<Trait> traits = []>
    : AttrDef<Lfm2_Dialect, name, traits> {
  let mnemonic = attrMnemonic;
}

def Lfm2_StoredKind : I32Enum<"StoredKind", "element format of stored weights", [
    I32EnumCase<"F32", 0, "f32">, I32EnumCase<"BF16", 1, "bf16">,
    I32EnumCase<"F16", 2, "f16">, I32EnumCase<"Q8", 3, "q8">,
    I32EnumCase<"Q4", 4, "q4">, I32EnumCase<"Q6", 5, "q6">,
    I32EnumCase<"Q4M", 6, "q4m">]> {
  let cppNamespace = "::lfmc::lfm2";
}

def Lfm2_PanelsAttr : Lfm2_Attr<"Panels", "panels"> {
  let summary = "panel layout of a stored matrix";
  let description = [{
    A matrix `W[N, K]` in panels of `rows` rows; inside a panel, groups of `depth`
    columns are adjacent: byte order `[N/rows][K/depth][rows][depth]`.
    `rows = 1, depth = 1` is row-major; `rows = N, depth = 1` is the transpose.
    With `halves = true` the matrix is two stacked halves A, B of N/2 rows (gate
    and up projection), and a panel holds rows/2 rows of A, then the matching
    rows/2 rows of B.
    With `raised = true` codes of 8 bits are stored as unsigned bytes, raised by 128,
    and scales without a sign: where it is negative, the codes change theirs.

    Constraints: (C1) `rows` >= 1; (C2) `depth` >= 1.
  }];
  let parameters = (ins "int64_t":$rows, "int64_t":$depth,
                        DefaultValuedParameter<"bool", "false">:$halves,
                        DefaultValuedParameter<"bool", "false">:$raised);
  let builders = [AttrBuilder<(ins "int64_t":$rows, "int64_t":$depth,
                                   "bool":$halves),
                              [{ return $_get($_ctxt, rows, depth, halves, false); }]>];
  let assemblyFormat = "`<` struct(params) `>`";
  let genVerifyDecl = 1;
}

def Lfm2_StoredAttr : Lfm2_Attr<"Stored", "stored",
    [DeclareAttrInterfaceMethods<VerifiableTensorEncoding>]> {
  let summary = "how a weight is stored";
  let description = [{
    Tensor encoding of weights. Shape and element type (f32) stay logical; the
    encoding says what lies in memory: the element format and, once a kernel is
    chosen, the layout.

    The quantized kinds hold a row in blocks of columns. A block has one f16 scale
    and a code for each column:

    | kind | value | codes | bits a column, blocks of 32 |
    |---|---|---|---|
    | `q8` | `scale * code` | -127 to 127 | 8.5 |
    | `q6` | `scale * code` | -32 to 31 | 6.5 |
    | `q4` | `scale * code` | -8 to 7 | 4.5 |
    | `q4m` | `scale * code + min`, min f16 | 0 to 15 | 5 |

    `q4` and `q8` in blocks of 32 hold exactly the values of GGUF's Q4_0 and Q8_0. In
    panels a block's `rows` scales (then minima) precede its codes, so that a panel is
    one stream.

    Constraints: (C1) the element type is f32; (C2) a layout needs rank 2;
    (C3) `rows` divides dimension 0 (and is even with `halves`); (C4) `depth`
    divides dimension 1; (C5) quantized kinds, and only they, have a block of 32, 64
    or 128 columns, need rank 2, and the block divides dimension 1; (C6) only `q8` has
    a layout that is `raised`.

    ```mlir
    tensor<6144x2048xf32, #lfm2.stored<bf16>>
    tensor<6144x2048xf32, #lfm2.stored<bf16, <rows = 64, depth = 2>>>
    tensor<6144x2048xf32, #lfm2.stored<q4 block 32>>
    ```
  }];
  let parameters = (ins EnumParameter<Lfm2_StoredKind>:$kind,
                        OptionalParameter<"int64_t">:$block,
                        OptionalParameter<"::lfmc::lfm2::PanelsAttr">:$layout);
  let assemblyFormat = "`<` $kind (`block` $block^)? (`,` $layout^)? `>`";
  let extraClassDeclaration = [{
    /// Bits of an element or of its code.
    int64_t getBits() const;
    /// Whether values are codes in blocks with a scale.
    bool isQuantized() const { return getKind() >= StoredKind::Q8; }
    /// Whether a block has a minimum beside its scale.
    bool hasMinimum() const { return getKind() == StoredKind::Q4M; }
    /// Bytes of `elements` elements (whole blocks), scales and minima included.
    int64_t getBytes(int64_t elements) const;
  }];
}

def Lfm2_QuantizedAttr : Lfm2_Attr<"Quantized", "quantized",
    [DeclareAttrInterfaceMethods<VerifiableTensorEncoding>]> {
  let summary = "activations in blocks of int8";
  let description = [{
    Tensor encoding of rows whose values are `scale * code` with one f32 scale for
    each block of `block` columns and int8 codes: what `lfm2.quantize` makes and
    quantized linears read. In memory a token's row is its codes, then its scales,
    then the i32 sum of each block's codes.

    Constraints: (C1) the element type is f32, the rank 2; (C2) the block is 32 and
    divides dimension 1.
  }];
  let parameters = (ins "int64_t":$block);
  let assemblyFormat = "`<` $block `>`";
}

def Lfm2_QuantizedCacheAttr : Lfm2_Attr<"QuantizedCache", "quantized_cache",
    [DeclareAttrInterfaceMethods<VerifiableTensorEncoding>]> {
  let summary = "a cache of int8";
  let description = [{
    Tensor encoding of a cache `[C, heads, D]` whose values are `scale * code` with int8
    codes and one f32 scale for each position and head: writing rounds as
    `lfm2.quantize` does. In memory, head by head, the codes of `positions` positions
    (in the order of the cache's layout) precede their scales.

    Constraints: (C1) the element type is f32, the rank 3; (C2) `positions` is at
    least 1 and divides dimension 0.

    ```mlir
    tensor<4096x8x64xf32, #lfm2.quantized_cache<64>>
    ```
  }];
  let parameters = (ins "int64_t":$positions);
  let assemblyFormat = "`<` $positions `>`";
}

def Lfm2_CacheLayoutAttr : Lfm2_Attr<"CacheLayout", "cache_layout"> {
  let summary = "layout of a KV cache";
  let description = [{
    A cache `[C, heads, D]` stored head by head: `[heads][C/lanes][D][lanes]`,
    `lanes` positions side by side. Set with the kernels that read and write it.
  }];
  let parameters = (ins "int64_t":$lanes);
  let assemblyFormat = "`<` struct(params) `>`";
  let genVerifyDecl = 1;
}

def Lfm2_SourceAttr : Lfm2_Attr<"Source", "source"> {
  let summary = "checkpoint tensors that make up a weight";
  let description = [{
    Names checkpoint tensors by scope-free key; a list is stacked by rows
    (dimension 0). Not a reference to a file: the packer finds the bytes.

    ```mlir
    #lfm2.source<"model.layers.0.feed_forward.w1.weight",
                 "model.layers.0.feed_forward.w3.weight">
    ```
  }];
  let parameters = (ins ArrayRefParameter<"::mlir::StringAttr">:$tensors);
  let assemblyFormat = "`<` $tensors `>`";
}

def Lfm2_RopeAttr : Lfm2_Attr<"Rope", "rope"> {
  let summary = "rotary position embedding";
  let description = [{
    Angle of pair i at position p: `p * theta^(-2i/dim)`, rounded to f32 as the
    reference does (f32 inverse frequency times f32 position). The first `dim`
    elements of each head rotate, pairs are `(i, i + dim/2)`; with
    `interleaved` they are `(2i, 2i+1)`.

    Constraints: (C1) theta is a finite f64 above 0; (C2) dim is even and at least 2.
  }];
  let parameters = (ins "::mlir::FloatAttr":$theta, "int64_t":$dim,
                        DefaultValuedParameter<"bool", "false">:$interleaved);
  let assemblyFormat = "`<` struct(params) `>`";
  let genVerifyDecl = 1;
}

def Lfm2_RopeTableAttr : Lfm2_Attr<"RopeTable", "rope_table"> {
  let summary = "cosines and sines of a rope, computed by the packer";
  let description = [{
    Source of a weight `tensor<C x dim x f32>`: row p is `[cos 0..dim/2,
    sin 0..dim/2]` of position p.
  }];
  let parameters = (ins "::lfmc::lfm2::RopeAttr":$rope);
  let assemblyFormat = "`<` $rope `>`";
}

def Lfm2_Activation : I32Enum<"Activation", "activation fused into a linear", [
    I32EnumCase<"None", 0, "none">, I32EnumCase<"Swiglu", 1, "swiglu">]> {
  let cppNamespace = "::lfmc::lfm2";
}
def Lfm2_ActivationAttr : EnumAttr<Lfm2_Dialect, Lfm2_Activation, "activation"> {
  let assemblyFormat = "`<` $value `>`";
}

#endif // LFMC_DIALECTS_LFM2_ATTRS_TD
