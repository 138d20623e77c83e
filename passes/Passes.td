// SPDX-License-Identifier: Apache-2.0
//
// Every pass of lfmc, by folder; inside a folder in the order of the pipeline.
// A description states what holds before and after, and ends in the lit test
// that shows the pass at work (tests/house checks that the file is there; the
// documentation target prints it).
#ifndef LFMC_PASSES_PASSES_TD
#define LFMC_PASSES_PASSES_TD

include "mlir/Pass/PassBase.td"

// No statistics: the layout of mlir::Pass::Statistic depends on NDEBUG, which
// Debian's libMLIR is built with and we are not (found by UBSan).

//===----------------------------------------------------------------------===//
// stack
//===----------------------------------------------------------------------===//

def StackLinears : Pass<"lfmc-stack-linears", "::mlir::ModuleOp"> {
  let summary = "make linears of the same input one linear of a stacked weight";
  let description = [{
    Linears of one block with the same x, whose weights are stored alike, become
    one linear and column slices of its result: q/k/v, or gate and up projection
    of a feed-forward. The weights (and biases) become one `lfm2.weight` whose
    source lists the checkpoint tensors; all functions use it.

    Weights stay alone that something else reads as well (a tied embedding), that
    not all functions use in the same company, or that already have a layout or an
    offset; so do linears with fused neighbours other than a common norm.

    Precondition: weights have no layout yet. Postcondition: each weight's bytes are
    declared as often as before, and no replaced weight is left.

    (* example filepath=tests/passes/stack/doctest.mlir *)
  }];
  let dependentDialects = ["::lfmc::lfm2::Lfm2Dialect",
                           "::mlir::arith::ArithDialect",
                           "::mlir::tensor::TensorDialect"];
}

//===----------------------------------------------------------------------===//
// fuse
//===----------------------------------------------------------------------===//

class Lfmc_FusePass<string object>
    : Pass<"lfmc-fuse-" # object, "::mlir::func::FuncOp"> {
  let dependentDialects = ["::lfmc::lfm2::Lfm2Dialect"];
}

def FuseRopeCache : Lfmc_FusePass<"rope-cache"> {
  let summary = "make the way from q, k, v to the caches one op";
  let description = [{
    Per-head `rms_norm` and `rope` of q and k, and the `cache_write`s of k and v
    that feed one attention become `lfm2.rope_cache`: q, k and v are read once.

    Precondition: none. Postcondition: no attention is left whose operands come
    from such six ops with equal positions, ropes and eps, unless an intermediate
    value has another user.

    (* example filepath=tests/passes/fuse/rope-cache/doctest.mlir *)
  }];
}

def FuseConvGates : Lfmc_FusePass<"conv-gates"> {
  let summary = "move the products around a short convolution into it";
  let description = [{
    `C * short_conv(B * x)` becomes `short_conv(x) gates(B, C)`. Of two columns of
    one matrix, the earlier one is the gate B.

    Precondition: none. Postcondition: no ungated `lfm2.short_conv` is left that is
    the only user of a product and only used by a product.

    (* example filepath=tests/passes/fuse/conv-gates/doctest.mlir *)
  }];
}

def FuseSwiglu : Lfmc_FusePass<"swiglu"> {
  let summary = "move a swiglu of both halves of a linear into it";
  let description = [{
    `swiglu(h[:, :N/2], h[:, N/2:])` of `h = linear(x, w)` becomes a linear with
    `activation = swiglu`. Gate must be the first half.

    Precondition: `lfmc-stack-linears` ran. Postcondition: no `lfm2.swiglu` is left
    that is the only reader of the two halves of a plain linear.

    (* example filepath=tests/passes/fuse/swiglu/doctest.mlir *)
  }];
}

def FuseNorm : Lfmc_FusePass<"norm"> {
  let summary = "move an rms_norm into the linear that is its only user";
  let description = [{
    `linear(rms_norm(x, g, eps), w)` becomes `linear(x, w) norm(g) {eps}`, so that
    the normalised row is never written to memory.

    Precondition: `lfmc-stack-linears` ran. Postcondition: no `lfm2.rms_norm` over
    full rows has a norm-less linear as its only user, at operand x. A norm with
    several users stays: fused, it would be computed once per user.

    (* example filepath=tests/passes/fuse/norm/doctest.mlir *)
  }];
}

def FuseResidual : Lfmc_FusePass<"residual"> {
  let summary = "move an addition into the linear that feeds it";
  let description = [{
    `r + linear(x, w)` becomes `linear(x, w) residual(r)`.

    Precondition: none. Postcondition: no `arith.addf` is left with an operand that
    is a plain linear without other users.

    (* example filepath=tests/passes/fuse/residual/doctest.mlir *)
  }];
}

//===----------------------------------------------------------------------===//
// quantize
//===----------------------------------------------------------------------===//

def Quantize : Pass<"lfmc-quantize", "::mlir::ModuleOp"> {
  let summary = "store the weights of linears in blocks of 4 to 8 bits";
  let description = [{
    Changes the type of the weights that linears read to `#lfm2.stored<q4 block n>`
    and its like, and quantizes the rows that meet them (`lfm2.quantize`, the norm
    included). Norms, convolution taps and tables stay as they are; a weight whose
    rows the block does not divide stays, too, with a remark. Weights may be
    quantized before (GGUF files): then they stay so where no scheme matches.

    `schemes` lists `kind` or `pattern=kind`; of those that match a weight the last
    one counts. A kind is q4, q4m, q6 or q8, with `/64` or `/128` for blocks of more
    than 32 columns, or `keep`. A pattern is a group (`head`: output matrix and
    embedding, `attention`, `conv`, `ffn`), which the weight gets as its attribute
    `lfm2.group`, or a glob over weight names. An unknown kind or a pattern that
    matches no weight is an error.

    With `bf16-rows` the rows that meet weights stored in bf16 are rounded to bf16 (an
    even number of columns only): what dot products of bf16 take.

    Precondition: norms are fused. Postcondition: every linear with a quantized
    weight reads quantized rows.

    (* example filepath=tests/passes/quantize/doctest.mlir *)
  }];
  let options = [ListOption<"schemes", "schemes", "std::string",
                            "how to store which weights">,
                 Option<"bf16Rows", "bf16-rows", "bool", "false",
                        "round what meets bf16 weights to bf16">];
  let dependentDialects = ["::lfmc::lfm2::Lfm2Dialect"];
}

//===----------------------------------------------------------------------===//
// split
//===----------------------------------------------------------------------===//

def SplitPrompt : Pass<"lfmc-split-prompt", "::mlir::ModuleOp"> {
  let summary = "spare a prompt what only its last token needs";
  let description = [{
    Of a prompt an application wants the logits of the last token. Behind the last
    attention's caches nothing of the other tokens is needed but what the last
    token's short convolutions and their states see. So `@prefill`, which stays for
    whoever wants all rows, is also cut in two:

    - `@prompt`: all tokens, up to the caches of the last attention; its result are
      the rows of the residual stream before that layer's norm.
    - `@prompt_end`: the rest, from the last R of these rows to as many normed ones,
      of which the last counts; R = 1 + the sum of (taps - 1) of its short
      convolutions, its `lfm2.max_tokens`. It fills the caches of these rows once
      more, with the same values.

    LFM2's shapes end in one or two convolutions behind the last attention: two to
    three layers of 16 to 30 for three or five rows. A function that has no such
    place (another value of rows alive, no more than R tokens in a step) is left
    alone.

    Precondition: `lfmc-graph` ran; quantized or not. Postcondition: `@prefill`
    equals `@prompt`, then `@prompt_end` at the position of its first row, in the
    last row and in all states.

    (* example filepath=tests/passes/split/doctest.mlir *)
  }];
  let dependentDialects = ["::lfmc::lfm2::Lfm2Dialect",
                           "::mlir::arith::ArithDialect",
                           "::mlir::tensor::TensorDialect"];
}

//===----------------------------------------------------------------------===//
// select, plan
//===----------------------------------------------------------------------===//

def SelectKernels : Pass<"lfmc-select-kernels", "::mlir::ModuleOp"> {
  let summary = "choose a kernel and its weight layout for every op";
  let description = [{
    Asks the target's providers (targets/Kernels.h) for every op that computes on
    tokens. The answer is a kernel and the layout it reads its weight in, together:
    the op becomes a `kernel.call`, the weight's `#lfm2.stored` gets the layout. An
    op that no provider takes becomes a call of its linalg expansion. The norm of a
    one-token linear becomes a `replicated` call.

    Precondition: lfm2 ops on tensors, positions are function arguments.
    Postcondition: all computation is in `kernel.call`s; all users of a weight read
    the same layout.

    (* example filepath=tests/passes/select/doctest.mlir *)
  }];
  let options = [Option<"target", "target", "std::string", /*default=*/"\"host\"",
                        "machine to choose for, as listed by lfmc targets">,
                 Option<"pinned", "pinned", "bool", /*default=*/"false",
                        "weights keep the layouts that they have: another "
                        "target chose them and reads the same file">,
                 Option<"records", "records", "std::string", /*default=*/"\"\"",
                        "file of tuning records, one JSON object a line, for the "
                        "processor and version of the first">];
  let dependentDialects = ["::lfmc::kernel::KernelDialect",
                           "::lfmc::lfm2::Lfm2Dialect",
                           "::mlir::arith::ArithDialect",
                           "::mlir::tensor::TensorDialect"];
}

def AssignOffsets : Pass<"lfmc-assign-offsets", "::mlir::ModuleOp"> {
  let summary = "place weights in their file and states in the session's block";
  let description = [{
    In the order of declaration, each at a multiple of 128 bytes; weights start after
    the file's header. Sets `lfm2.weights_bytes` and `lfm2.state_bytes` on the module.

    Precondition: weights have their final type. Postcondition: every `lfm2.weight`
    and `lfm2.state` has an offset.

    (* example filepath=tests/passes/plan/offsets.mlir *)
  }];
}

def PlanMemory : Pass<"lfmc-plan-memory", "::mlir::ModuleOp"> {
  let summary = "replace tensors by buffers at fixed offsets, calls by phases";
  let description = [{
    Every tensor gets an address: states and weights theirs, results the step's
    output, everything else a place in the arena that it shares with what is not
    alive at the same time; outs of `replicated` calls go to each thread's stack.
    Independent calls form a `kernel.phase`, between phases the team meets. Sets
    `kernel.arena_bytes` on functions and, the largest, on the module, and
    `kernel.stack_bytes` on functions.

    Precondition: public functions are straight lines of `kernel.call`s and column
    slices; offsets are assigned. Postcondition: no tensors are left in them. A
    state that would have to be copied is an error that names the state.

    (* example filepath=tests/passes/plan/memory.mlir *)
  }];
  let dependentDialects = ["::lfmc::kernel::KernelDialect",
                           "::mlir::memref::MemRefDialect"];
}

//===----------------------------------------------------------------------===//
// expand
//===----------------------------------------------------------------------===//

def Expand : Pass<"lfmc-expand", "::mlir::func::FuncOp"> {
  let summary = "expand lfm2 ops to linalg: the written semantics";
  let description = [{
    Every lfm2 op becomes linalg, tensor, scf and arith in f32, without library
    functions: exp, sin and cos are polynomials. Weights are read row-major; an
    encoded argument loses its encoding, an `lfm2.param` gets a `tensor.cast` that
    drops it.

    Precondition: encoded arguments are used by lfm2 ops only. Postcondition: no
    lfm2 op is left but `lfm2.param`.

    (* example filepath=tests/passes/expand/doctest.mlir *)
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect",
                           "::mlir::linalg::LinalgDialect",
                           "::mlir::math::MathDialect",
                           "::mlir::scf::SCFDialect",
                           "::mlir::tensor::TensorDialect"];
}

#endif // LFMC_PASSES_PASSES_TD
