// SPDX-License-Identifier: Apache-2.0
#ifndef LFMC_DIALECTS_KERNEL_OPS_TD
#define LFMC_DIALECTS_KERNEL_OPS_TD

include "dialects/kernel/KernelDialect.td"
include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/EnumAttr.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/DestinationStyleOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

class Kernel_Op<string mnemonic, list<Trait> traits = []>
    : Op<Kernel_Dialect, mnemonic, traits>;

def Kernel_Space : I32Enum<"Space", "who owns a buffer", [
    I32EnumCase<"Weights", 0, "weights">, I32EnumCase<"State", 1, "state">,
    I32EnumCase<"Arena", 2, "arena">, I32EnumCase<"Input", 3, "input">,
    I32EnumCase<"Output", 4, "output">, I32EnumCase<"Stack", 5, "stack">]> {
  let cppNamespace = "::lfmc::kernel";
}
def Kernel_SpaceAttr : EnumAttr<Kernel_Dialect, Kernel_Space, "space">;

def Kernel_ChunksAttr : AttrDef<Kernel_Dialect, "Chunks"> {
  let mnemonic = "chunks";
  let summary = "how a kernel's work is cut for the thread team";
  let description = [{
    A step of n tokens has `fixed * ceil(n / tokens)` chunks (`tokens = 0`:
    `fixed`). Chunk c covers piece `c % fixed` of the output's width and tokens
    `(c / fixed) * tokens ..`. With a parameter `piece` there are `fixed` chunks for each
    `piece` of the positions so far instead (attention of one token).
  }];
  let parameters = (ins "int64_t":$fixed, DefaultValuedParameter<"int64_t", "0">:$tokens);
  let assemblyFormat = "`<` struct(params) `>`";
  let genVerifyDecl = 1;
}

def Kernel_DeclOp : Kernel_Op<"decl", [Symbol]> {
  let summary = "a kernel: generator and parameters";
  let description = [{
    `generator` names the code generator (`linear`, `attention`, ...; `expand` for
    the linalg expansion of the lfm2 op in function `params.body`), `params` are its
    parameters, `chunks` how a call is cut. Symbols are content hashes, so equal
    declarations merge.

    (C1) `generator` is not empty; (C2) chunks.fixed >= 1.

    ```mlir
    kernel.decl @linear_1f "linear" {k = 64 : i64, n = 32 : i64} chunks <fixed = 4>
    ```
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, StrAttr:$generator,
                       DictionaryAttr:$params, Kernel_ChunksAttr:$chunks,
                       OptionalAttr<StrAttr>:$sym_visibility);
  let assemblyFormat = "$sym_name $generator $params `chunks` $chunks attr-dict";
  let hasVerifier = 1;
}

def Kernel_CallOp : Kernel_Op<"call", [AttrSizedOperandSegments,
    DestinationStyleOpInterface, DeclareOpInterfaceMethods<MemoryEffectsOpInterface>,
    DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "a call of a kernel, destination-passing";
  let description = [{
    On tensors: pure, one result per `outs`, the result has the type of its `outs`
    operand, which gives the buffer (a state, or `tensor.empty`). On memrefs: no
    results. `replicated` calls are run whole by every thread of the team into its
    own buffer, and need no barrier.

    (C1) the callee is a `kernel.decl`; (C2) all operands are tensors and there is a
    result per out, or all are memrefs and there is none; (C3) a result's type is its
    out's type.

    ```mlir
    %r = kernel.call @linear_1f ins(%x, %w : tensor<?x64xf32>, tensor<32x64xf32>)
        outs(%e : tensor<?x32xf32>) -> tensor<?x32xf32>
    ```
  }];
  let arguments = (ins FlatSymbolRefAttr:$callee, UnitAttr:$replicated,
                       Variadic<AnyShaped>:$inputs, Variadic<AnyShaped>:$inits);
  let results = (outs Variadic<AnyRankedTensor>:$results);
  let assemblyFormat = [{
    (`replicated` $replicated^)? $callee
    `ins` `(` $inputs `:` type($inputs) `)`
    `outs` `(` $inits `:` type($inits) `)` attr-dict (`->` type($results)^)?
  }];
  let extraClassDeclaration = [{
    ::mlir::MutableOperandRange getDpsInitsMutable() { return getInitsMutable(); }
  }];
  let hasVerifier = 1;
}

def Kernel_BufferOp : Kernel_Op<"buffer", [Pure]> {
  let summary = "a buffer at a planned address";
  let description = [{
    Byte `offset` of a space: `weights` (the mapped file), `state` (the session's),
    `arena` (scratch of a step), `input` and `output` (the step's), `stack` (each
    thread's own).

    A column slice of rows is a buffer with a strided layout.

    (C1) offset >= 0 and a multiple of 4; for `input` and `output` it is 0.

    ```mlir
    %b = kernel.buffer arena[4096] : memref<?x2048xf32>
    ```
  }];
  let arguments = (ins Kernel_SpaceAttr:$space, I64Attr:$offset);
  let results = (outs AnyMemRef:$result);
  let assemblyFormat = "$space `[` $offset `]` attr-dict `:` type($result)";
  let hasVerifier = 1;
}

def Kernel_PhaseOp : Kernel_Op<"phase", [NoTerminator, SingleBlock]> {
  let hasVerifier = 1;
  let summary = "calls that may run at the same time, then a barrier";
  let description = [{
    The calls of a phase do not depend on each other, apart from `replicated` ones,
    which come first and may read what those before them wrote. The team takes chunks of all of them from one ticket, then
    meets at a barrier.

    (C1) only `kernel.call`s on memrefs, `replicated` calls first.
  }];
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = "$body attr-dict";
  let hasVerifier = 1;
}

#endif // LFMC_DIALECTS_KERNEL_OPS_TD
