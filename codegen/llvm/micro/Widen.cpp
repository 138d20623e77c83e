// SPDX-License-Identifier: Apache-2.0
//
// Halide's generic code loads and stores vectors in slices of 16 bytes, and
// LLVM then cuts the operations between them alike: HVX, whose vectors have 128
// bytes, would take them apart lane by lane. Here slices that are stored or put
// together side by side become one vector again, and so does what they are
// computed from.
#include "codegen/llvm/micro/Widen.h"

#include "llvm/ADT/SmallVector.h"
#include "llvm/Analysis/LoopAccessAnalysis.h"
#include "llvm/Analysis/ScalarEvolution.h"
#include "llvm/Analysis/VectorUtils.h"
#include "llvm/IR/Dominators.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/IntrinsicInst.h"
#include "llvm/IR/Module.h"
#include "llvm/Passes/PassBuilder.h"

#include <map>

using namespace llvm;

namespace lfmc {
namespace {

constexpr int64_t vectorBytes = 128;
using Slices = std::vector<Value *>;

class Widener {
public:
  Widener(Function &function, ScalarEvolution &evolution, DominatorTree &tree)
      : function(function), evolution(evolution), tree(tree),
        layout(function.getParent()->getDataLayout()) {}
  void run();

private:
  int64_t bytesOf(Value *value) {
    return int64_t(layout.getTypeStoreSize(value->getType()));
  }
  bool follows(Value *pointer, Value *before, Type *type);
  void joinStores(BasicBlock &block);
  void joinShuffles(BasicBlock &block);
  Value *wide(Slices slices);
  Value *build(const Slices &slices);
  Value *operation(ArrayRef<Instruction *> all, FixedVectorType *type);
  Value *phi(ArrayRef<Instruction *> all, FixedVectorType *type,
             const Slices &slices);
  Value *load(ArrayRef<Instruction *> all, FixedVectorType *type);
  Value *concatenated(const Slices &slices);
  Value *operand(ArrayRef<Instruction *> all, unsigned index) {
    Slices slices;
    for (Instruction *one : all)
      slices.push_back(one->getOperand(index));
    return wide(slices);
  }

  Function &function;
  ScalarEvolution &evolution;
  DominatorTree &tree;
  const DataLayout &layout;
  std::map<Slices, Value *> done;
};

FixedVectorType *typeOf(Value *value) {
  return dyn_cast<FixedVectorType>(value->getType());
}

/// Where values made of `all`, of one block, can be used from on: behind the
/// last.
Instruction *behind(ArrayRef<Instruction *> all) {
  Instruction *last = all.front();
  for (Instruction *one : all)
    if (last->comesBefore(one))
      last = one;
  return isa<PHINode>(last) ? &*last->getParent()->getFirstInsertionPt()
                            : last->getNextNode();
}

/// The instructions `slices`, if all are of one kind, block and type.
SmallVector<Instruction *> alike(const Slices &slices) {
  SmallVector<Instruction *> all;
  for (Value *slice : slices) {
    auto *one = dyn_cast<Instruction>(slice);
    if (!one || (!all.empty() && (one->getOpcode() != all[0]->getOpcode() ||
                                  one->getParent() != all[0]->getParent())))
      return {};
    all.push_back(one);
  }
  return all;
}

/// The vector of which `slices` are all parts, in order.
Value *wholeOf(const Slices &slices) {
  Value *whole = nullptr;
  int64_t first = 0;
  for (Value *slice : slices) {
    auto *shuffle = dyn_cast<ShuffleVectorInst>(slice);
    int index = 0;
    if (!shuffle || !shuffle->isExtractSubvectorMask(index) || index != first ||
        (whole && shuffle->getOperand(0) != whole))
      return nullptr;
    whole = shuffle->getOperand(0);
    first += typeOf(slice)->getNumElements();
  }
  return typeOf(whole)->getNumElements() == first ? whole : nullptr;
}

/// The value whose elements shuffles only move apart and together again to make
/// `slice`; else `slice`.
Value *movedBack(Value *slice) {
  Value *source = nullptr;
  for (int64_t lane = 0; lane < typeOf(slice)->getNumElements(); ++lane) {
    Value *from = slice;
    int64_t at = lane;
    while (auto *shuffle = dyn_cast<ShuffleVectorInst>(from)) {
      const int64_t left = typeOf(shuffle->getOperand(0))->getNumElements();
      at = shuffle->getMaskValue(unsigned(at));
      if (at < 0)
        return slice;
      from = shuffle->getOperand(at < left ? 0 : 1);
      at -= at < left ? 0 : left;
    }
    if (from->getType() != slice->getType() || at != lane ||
        (source && from != source))
      return slice;
    source = from;
  }
  return source;
}

bool Widener::follows(Value *pointer, Value *before, Type *type) {
  std::optional<int64_t> elements =
      getPointersDiff(type->getScalarType(), before, type->getScalarType(),
                      pointer, layout, evolution, /*StrictCheck=*/true);
  return elements &&
         *elements == typeOf(UndefValue::get(type))->getNumElements();
}

Value *Widener::load(ArrayRef<Instruction *> all, FixedVectorType *type) {
  auto *first = cast<LoadInst>(all[0]);
  for (size_t i = 0; i < all.size(); ++i) {
    auto *one = cast<LoadInst>(all[i]);
    if (!one->isSimple() ||
        (i && (!all[i - 1]->comesBefore(one) ||
               !follows(one->getPointerOperand(),
                        cast<LoadInst>(all[i - 1])->getPointerOperand(),
                        one->getType()))))
      return nullptr;
  }
  for (Instruction *at = first; at != all.back(); at = at->getNextNode())
    if (at->mayWriteToMemory())
      return nullptr;
  IRBuilder<> b(first);
  return b.CreateAlignedLoad(type, first->getPointerOperand(),
                             first->getAlign());
}

Value *Widener::phi(ArrayRef<Instruction *> all, FixedVectorType *type,
                    const Slices &slices) {
  auto *first = cast<PHINode>(all[0]);
  IRBuilder<> b(first);
  PHINode *result = b.CreatePHI(type, first->getNumIncomingValues());
  done[slices] = result; // before its own values are asked for
  for (BasicBlock *block : first->blocks()) {
    Slices incoming;
    for (Instruction *one : all)
      incoming.push_back(cast<PHINode>(one)->getIncomingValueForBlock(block));
    result->addIncoming(wide(incoming), block);
  }
  return result;
}

/// An operation on each element, with the flags that all have.
Value *Widener::operation(ArrayRef<Instruction *> all, FixedVectorType *type) {
  Instruction *first = all[0];
  for (Instruction *one : all) {
    for (auto [a, b] : zip(one->operands(), first->operands()))
      if (a->getType() != b->getType() ||
          (!isa<Function>(a) &&
           (!typeOf(a) ||
            typeOf(a)->getNumElements() != typeOf(first)->getNumElements())))
        return nullptr;
    auto *compare = dyn_cast<CmpInst>(one);
    auto *call = dyn_cast<IntrinsicInst>(one);
    if ((compare &&
         compare->getPredicate() != cast<CmpInst>(first)->getPredicate()) ||
        (isa<CallBase>(one) &&
         (!call || !isTriviallyVectorizable(call->getIntrinsicID()) ||
          !isa<IntrinsicInst>(first) ||
          call->getIntrinsicID() !=
              cast<IntrinsicInst>(first)->getIntrinsicID())))
      return nullptr;
  }
  SmallVector<Value *> operands;
  auto *call = dyn_cast<IntrinsicInst>(first);
  const unsigned count = call ? call->arg_size() : first->getNumOperands();
  for (unsigned i = 0; i < count; ++i)
    operands.push_back(operand(all, i));
  IRBuilder<> b(behind(all));
  Value *result = nullptr;
  if (auto *binary = dyn_cast<BinaryOperator>(first))
    result = b.CreateBinOp(binary->getOpcode(), operands[0], operands[1]);
  else if (auto *unary = dyn_cast<UnaryOperator>(first))
    result = b.CreateUnOp(unary->getOpcode(), operands[0]);
  else if (auto *cast = dyn_cast<CastInst>(first))
    result = b.CreateCast(cast->getOpcode(), operands[0], type);
  else if (auto *compare = dyn_cast<CmpInst>(first))
    result = b.CreateCmp(compare->getPredicate(), operands[0], operands[1]);
  else if (isa<SelectInst>(first))
    result = b.CreateSelect(operands[0], operands[1], operands[2]);
  else if (call)
    result = b.CreateIntrinsic(type, call->getIntrinsicID(), operands);
  if (auto *made = dyn_cast_if_present<Instruction>(result)) {
    made->copyIRFlags(first);
    for (Instruction *one : all)
      made->andIRFlags(one);
  }
  return result;
}

/// The slices side by side, by shuffles. All of them dominate a user, so that
/// one is dominated by the others.
Value *Widener::concatenated(const Slices &slices) {
  Instruction *last = nullptr;
  for (Value *slice : slices)
    if (auto *one = dyn_cast<Instruction>(slice))
      if (!last || tree.dominates(last, one))
        last = one;
  IRBuilder<> b(last ? behind({last})
                     : &*function.getEntryBlock().getFirstInsertionPt());
  return concatenateVectors(b, slices);
}

Value *Widener::build(const Slices &slices) {
  FixedVectorType *slice = typeOf(slices[0]);
  auto *type =
      FixedVectorType::get(slice->getElementType(),
                           unsigned(slice->getNumElements() * slices.size()));
  if (Value *whole = wholeOf(slices))
    return whole;
  Value *element = getSplatValue(slices[0]);
  if (element && all_of(slices, [&](Value *one) {
        return getSplatValue(one) == element;
      })) {
    if (auto *constant = dyn_cast<Constant>(element))
      return ConstantVector::getSplat(type->getElementCount(), constant);
    if (SmallVector<Instruction *> all = alike(slices); !all.empty()) {
      IRBuilder<> b(behind(all));
      return b.CreateVectorSplat(type->getNumElements(), element);
    }
  }
  SmallVector<Instruction *> all = alike(slices);
  Value *result = nullptr;
  if (!all.empty() && isa<LoadInst>(all[0]))
    result = load(all, type);
  else if (!all.empty() && isa<PHINode>(all[0]))
    result = phi(all, type, slices);
  else if (!all.empty() && !isa<ShuffleVectorInst>(all[0]))
    result = operation(all, type);
  return result ? result : concatenated(slices);
}

Value *Widener::wide(Slices slices) {
  for (Value *&slice : slices)
    slice = movedBack(slice);
  if (auto found = done.find(slices); found != done.end())
    return found->second;
  Value *result = build(slices);
  done[slices] = result;
  return result;
}

/// Stores of up to 128 bytes side by side, nothing but they touching memory
/// between them.
void Widener::joinStores(BasicBlock &block) {
  SmallVector<StoreInst *> run;
  auto flush = [&] {
    run.truncate(run.empty() ? 0 : bit_floor(run.size()));
    if (run.size() > 1) {
      Slices slices;
      for (StoreInst *one : run)
        slices.push_back(one->getValueOperand());
      Value *value = wide(slices);
      IRBuilder<> b(run.back());
      b.CreateAlignedStore(value, run[0]->getPointerOperand(),
                           run[0]->getAlign());
      for (StoreInst *one : run)
        one->eraseFromParent();
    }
    run.clear();
  };
  for (Instruction &instruction : make_early_inc_range(block)) {
    auto *store = dyn_cast<StoreInst>(&instruction);
    Value *value = store ? store->getValueOperand() : nullptr;
    const bool slice = store && store->isSimple() && typeOf(value) &&
                       bytesOf(value) < vectorBytes;
    const bool next =
        slice && !run.empty() &&
        value->getType() == run[0]->getValueOperand()->getType() &&
        follows(store->getPointerOperand(), run.back()->getPointerOperand(),
                value->getType());
    if (instruction.mayReadOrWriteMemory() && !next)
      flush();
    if (slice)
      run.push_back(store);
    if (slice && int64_t(run.size()) * bytesOf(value) >= vectorBytes)
      flush();
  }
  flush();
}

/// Parts of which shuffles make `value` by putting them side by side.
void leavesOf(Value *value, Slices &leaves) {
  auto *shuffle = dyn_cast<ShuffleVectorInst>(value);
  if (!shuffle || !shuffle->isConcat()) {
    leaves.push_back(value);
    return;
  }
  leavesOf(shuffle->getOperand(0), leaves);
  leavesOf(shuffle->getOperand(1), leaves);
}

void Widener::joinShuffles(BasicBlock &block) {
  SmallVector<ShuffleVectorInst *> roots;
  for (Instruction &instruction : block)
    if (auto *shuffle = dyn_cast<ShuffleVectorInst>(&instruction))
      if (shuffle->isConcat() && none_of(shuffle->users(), [](User *user) {
            auto *larger = dyn_cast<ShuffleVectorInst>(user);
            return larger && larger->isConcat();
          }))
        roots.push_back(shuffle);
  for (ShuffleVectorInst *root : roots) {
    Slices leaves;
    leavesOf(root, leaves);
    if (any_of(leaves, [&](Value *leaf) {
          return leaf->getType() != leaves[0]->getType();
        }))
      continue;
    Value *value = wide(leaves);
    if (value != root)
      root->replaceAllUsesWith(value);
  }
}

void Widener::run() {
  for (BasicBlock &block : function)
    joinShuffles(block);
  for (BasicBlock &block : function)
    joinStores(block);
}

} // namespace

void widenVectors(Module &module) {
  LoopAnalysisManager loops;
  FunctionAnalysisManager functions;
  CGSCCAnalysisManager graphs;
  ModuleAnalysisManager modules;
  PassBuilder builder;
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(graphs);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, graphs, modules);
  for (Function &function : module)
    if (!function.isDeclaration())
      Widener(function, functions.getResult<ScalarEvolutionAnalysis>(function),
              functions.getResult<DominatorTreeAnalysis>(function))
          .run();
}

} // namespace lfmc
