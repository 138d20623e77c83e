// SPDX-License-Identifier: Apache-2.0
//
// Writes a microkernel's function: i32 symbol(halide_buffer_t *...) whose
// arguments are buffers of which only `host` is read, then i32 scalars. Offsets
// are in bytes, loads and stores need no alignment. What is written here is
// emitted without the optimiser (but for HVX), which would keep in registers
// what the writer keeps in memory and spill what the writer keeps in registers.
// Private to codegen/llvm/micro.
#ifndef LFMC_CODEGEN_LLVM_MICRO_MICROWRITER_H
#define LFMC_CODEGEN_LLVM_MICRO_MICROWRITER_H

#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/Module.h"

namespace lfmc {

using Values = llvm::SmallVector<llvm::Value *>;

class MicroWriter {
public:
  /// Starts the function; code goes into it until finish().
  /// Pointers have `pointerBytes`.
  MicroWriter(llvm::Module &module, llvm::StringRef symbol, unsigned buffers,
              int64_t pointerBytes = 8, unsigned scalars = 0);
  void finish();
  /// No instruction of the function shall take more than `bits`.
  void limitVectors(int64_t bits);

  /// The memory of the buffers, in call order.
  llvm::ArrayRef<llvm::Value *> hosts() const { return memory; }
  /// The scalar arguments, as indices.
  llvm::ArrayRef<llvm::Value *> scalars() const { return numbers; }

  llvm::Type *f32() { return b.getFloatTy(); }
  llvm::FixedVectorType *vector(llvm::Type *element, int64_t count) {
    return llvm::FixedVectorType::get(element, count);
  }
  /// An index: an integer of a pointer's size, which hardware loops count.
  llvm::ConstantInt *index(int64_t value) {
    return llvm::ConstantInt::get(indexType, uint64_t(value));
  }
  llvm::Value *at(llvm::Value *pointer, int64_t bytes);
  /// pointer + index * bytes
  llvm::Value *at(llvm::Value *pointer, llvm::Value *index, int64_t bytes);
  llvm::Value *load(llvm::Type *type, llvm::Value *pointer);
  void store(llvm::Value *value, llvm::Value *pointer);
  /// Memory of the whole function, aligned to 64.
  llvm::Value *stack(int64_t bytes);
  /// A variable of the function, for values that the optimiser shall keep in
  /// registers.
  llvm::AllocaInst *local(llvm::Type *type);
  void prefetch(llvm::Value *pointer);

  /// Calls an intrinsic of the target; arguments whose type differs from the
  /// parameter's in the elements only are cast.
  llvm::Value *intrinsic(llvm::Intrinsic::ID id,
                         llvm::ArrayRef<llvm::Value *> arguments);
  /// a * b + c in one rounding.
  llvm::Value *fma(llvm::Value *a, llvm::Value *b, llvm::Value *c);
  /// A constant in all elements of a vector of type `type`.
  llvm::Constant *all(llvm::Type *type, double value);
  /// Elements [first, first + count) of a vector.
  llvm::Value *part(llvm::Value *vector, int64_t first, int64_t count);
  /// The elements of all vectors in a row; their number is a power of two.
  llvm::Value *join(llvm::ArrayRef<llvm::Value *> vectors);
  /// for (i = from; i < to; i += step) body(i, carried), at least once; the
  /// body's values are carried on and returned in the end.
  Values loop(llvm::Value *from, llvm::Value *to, int64_t step, Values carried,
              llvm::function_ref<Values(llvm::Value *, Values)> body);
  /// The same, where `from` may be `to` or beyond.
  Values loopIfAny(llvm::Value *from, llvm::Value *to, int64_t step,
                   Values carried,
                   llvm::function_ref<Values(llvm::Value *, Values)> body);
  /// for (i = 0; i < count; ++i) body(i), count at least 1.
  void loop(int64_t count, llvm::function_ref<void(llvm::Value *)> body);

  llvm::IRBuilder<> b;

private:
  llvm::IntegerType *indexType;
  llvm::Function *function;
  Values memory, numbers;
};

/// x / (1 + e^-x) with the bits of halide::siluF32.
llvm::Value *silu(MicroWriter &w, llvm::Value *x);

} // namespace lfmc

#endif // LFMC_CODEGEN_LLVM_MICRO_MICROWRITER_H
