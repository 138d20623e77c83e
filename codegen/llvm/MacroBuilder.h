// SPDX-License-Identifier: Apache-2.0
//
// Writes the loops around microkernels: a thin layer over the scf, arith and
// LLVM dialects, private to codegen/llvm.
//
// A macro kernel is a function k(operand pointers..., n, pos, chunk): it
// computes chunk `chunk` (see kernel::ChunksAttr) of a step of n tokens from
// position pos.
#ifndef LFMC_CODEGEN_LLVM_MACROBUILDER_H
#define LFMC_CODEGEN_LLVM_MACROBUILDER_H

#include "codegen/halide/MicroKernel.h"
#include "dialects/kernel/Kernel.h"
#include "dialects/lfm2/Lfm2.h"
#include "targets/Target.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinOps.h"

#include <functional>
#include <map>
#include <string>

namespace lfmc {

/// The microkernels that a program calls, by symbol. Symbols are content
/// hashes: the same microkernel has the same name in every model.
class MicroKernels {
public:
  /// Adds `kernel` unless it is there; returns its symbol.
  std::string add(const halide::MicroKernel &kernel);
  const std::map<std::string, halide::MicroKernel> &all() const {
    return table;
  }

private:
  std::map<std::string, halide::MicroKernel> table;
};

/// Builds code at one insertion point. All integers are i64, all addresses
/// `!llvm.ptr`, offsets are in bytes.
class MacroBuilder {
public:
  MacroBuilder(mlir::ModuleOp out, const Target &target, MicroKernels &micros)
      : out(out), target(target), micros(micros), b(out.getContext()),
        loc(mlir::UnknownLoc::get(out.getContext())) {}

  /// Starts the internal function `name`; code goes into it until
  /// finishFunction(). Returns its arguments.
  llvm::SmallVector<mlir::Value> beginFunction(llvm::StringRef name,
                                               mlir::TypeRange types);
  /// The same for a macro kernel with `pointers` operands.
  llvm::SmallVector<mlir::Value> beginMacro(llvm::StringRef name,
                                            unsigned pointers);
  void finishFunction();

  mlir::Value i64(int64_t value);
  mlir::Value add(mlir::Value a, mlir::Value b);
  mlir::Value sub(mlir::Value a, mlir::Value b);
  mlir::Value mul(mlir::Value a, int64_t b);
  mlir::Value div(mlir::Value a, int64_t b); ///< of non-negative numbers
  mlir::Value rem(mlir::Value a, int64_t b);
  mlir::Value min(mlir::Value a, mlir::Value b);
  /// The multiple of `step` at or below `a`.
  mlir::Value floorTo(mlir::Value a, int64_t step) {
    return mul(div(a, step), step);
  }

  mlir::Value at(mlir::Value pointer, mlir::Value bytes);
  mlir::Value at(mlir::Value pointer, int64_t bytes);
  /// pointer + index * bytes
  mlir::Value at(mlir::Value pointer, mlir::Value index, int64_t bytes);
  mlir::Value load(mlir::Type type, mlir::Value pointer);
  mlir::Value toI64(mlir::Value i32);
  mlir::Value toI32(mlir::Value i64);
  /// Scratch on the stack for the whole function, aligned to 64.
  mlir::Value stack(int64_t bytes);
  /// Asks for the lines of [pointer, pointer + bytes) to be brought into L2.
  void prefetch(mlir::Value pointer, int64_t bytes);
  /// Copies bytes between places that do not overlap.
  void copy(mlir::Value to, mlir::Value from, int64_t bytes);
  /// Stores `count` copies of an f32 at `pointer`.
  void fill(mlir::Value pointer, int64_t count, float value);

  /// for (iv = from; iv < to; iv += step) body(iv)
  void loop(mlir::Value from, mlir::Value to, int64_t step,
            llvm::function_ref<void(mlir::Value)> body);
  /// The same with values carried from iteration to iteration; returns the
  /// last.
  llvm::SmallVector<mlir::Value>
  loop(mlir::Value from, mlir::Value to, int64_t step, mlir::ValueRange carried,
       llvm::function_ref<llvm::SmallVector<mlir::Value>(mlir::Value,
                                                         mlir::ValueRange)>
           body);
  void ifThen(mlir::Value condition, llvm::function_ref<void()> body);
  mlir::Value less(mlir::Value a, mlir::Value b);
  mlir::Value select(mlir::Value condition, mlir::Value a, mlir::Value b);

  /// Covers [0, n) by tiles, the largest first: body(first token, tile size).
  void tiles(mlir::Value n, llvm::ArrayRef<int64_t> sizes,
             llvm::function_ref<void(mlir::Value, int64_t)> body);

  /// Calls a microkernel: its buffers in order, then its i32 scalars.
  void call(const halide::MicroKernel &kernel, mlir::ValueRange buffers,
            mlir::ValueRange scalars = {});

  mlir::ModuleOp out;
  const Target &target;
  MicroKernels &micros;
  mlir::OpBuilder b;
  mlir::Location loc;

  mlir::Type pointerType();
  int64_t pointerBytes() const;

private:
  mlir::LLVM::LLVMFuncOp function;
  llvm::SmallVector<mlir::Value>
      bufferSlots; ///< halide_buffer_t's of this function
};

/// Parameters of a kernel.decl.
class DeclParams {
public:
  explicit DeclParams(kernel::DeclOp decl) : params(decl.getParams()) {}
  int64_t operator[](llvm::StringRef name) const {
    auto value = params.getAs<mlir::IntegerAttr>(name);
    return value ? value.getInt() : 0;
  }
  bool has(llvm::StringRef name) const { return params.contains(name); }
  /// Tokens of a chunk of a kernel that takes one after the other.
  int64_t chunkTokens(int64_t preset) const {
    return has("chunk_tokens") ? (*this)["chunk_tokens"] : preset;
  }
  double real(llvm::StringRef name) const {
    auto value = params.getAs<mlir::FloatAttr>(name);
    return value ? value.getValueAsDouble() : 0;
  }

private:
  mlir::DictionaryAttr params;
};

/// A cache in int8, as the parameter "kvtype" spells it.
inline constexpr int64_t q8Cache = int64_t(lfm2::StoredKind::Q8);

/// Arguments of a macro kernel under construction.
struct MacroArgs {
  llvm::ArrayRef<mlir::Value> pointers; ///< inputs, then outs
  mlir::Value n, pos, chunk;
};

// Generators, one a family.
void buildLinear(MacroBuilder &, const DeclParams &, const MacroArgs &);
void buildExperts(MacroBuilder &, const DeclParams &, const MacroArgs &);
void buildRoute(MacroBuilder &, const DeclParams &, const MacroArgs &);
void buildAttention(MacroBuilder &, const DeclParams &, const MacroArgs &);
void buildAttentionCombine(MacroBuilder &, const DeclParams &,
                           const MacroArgs &);
void buildRopeCache(MacroBuilder &, const DeclParams &, const MacroArgs &);
void buildShortConv(MacroBuilder &, const DeclParams &, const MacroArgs &);
void buildEmbed(MacroBuilder &, const DeclParams &, const MacroArgs &);
void buildRmsNorm(MacroBuilder &, const DeclParams &, const MacroArgs &);
void buildQuantize(MacroBuilder &, const DeclParams &, const MacroArgs &);
void buildSwiglu(MacroBuilder &, const DeclParams &, const MacroArgs &);
void buildAdd(MacroBuilder &, const DeclParams &, const MacroArgs &);

} // namespace lfmc

#endif // LFMC_CODEGEN_LLVM_MACROBUILDER_H
