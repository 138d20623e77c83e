// SPDX-License-Identifier: Apache-2.0
#include "codegen/llvm/Program.h"

#include "mlir/Conversion/Passes.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Transforms/Passes.h"
#include "runtime/include/lfm/program.h"
#include "llvm/ADT/StringMap.h"

#include <cstddef>

using namespace mlir;

namespace lfmc {
namespace {

using Generator = void (*)(MacroBuilder &, const DeclParams &,
                           const MacroArgs &);
Generator generatorOf(StringRef name) {
  static const llvm::StringMap<Generator> generators = {
      {"linear", buildLinear},
      {"experts", buildExperts},
      {"route", buildRoute},
      {"attention", buildAttention},
      {"attention_combine", buildAttentionCombine},
      {"rope_cache", buildRopeCache},
      {"short_conv", buildShortConv},
      {"embed", buildEmbed},
      {"rms_norm", buildRmsNorm},
      {"quantize", buildQuantize},
      {"swiglu", buildSwiglu},
      {"add", buildAdd}};
  return generators.lookup(name);
}

/// Where the fields of lfm_args and lfm_sync are, with pointers of some size.
struct StepAbi {
  explicit constexpr StepAbi(int64_t pointerBytes)
      : weights(0), state(pointerBytes), arena(2 * pointerBytes),
        input(3 * pointerBytes), output(4 * pointerBytes),
        n((5 * pointerBytes + 7) / 8 * 8), pos(n + 8), tickets(0),
        ticketStride(pointerBytes), barrier(2 * pointerBytes),
        threads(3 * pointerBytes), chosen(4 * pointerBytes) {}
  int64_t weights, state, arena, input, output, n, pos;
  int64_t tickets, ticketStride, barrier, threads, chosen;
};
constexpr StepAbi here(sizeof(void *));
static_assert(here.output == offsetof(lfm_args, output) &&
              here.n == offsetof(lfm_args, n) &&
              here.pos == offsetof(lfm_args, pos) &&
              here.barrier == offsetof(lfm_sync, barrier) &&
              here.threads == offsetof(lfm_sync, threads) &&
              here.chosen == offsetof(lfm_sync, chosen));

/// Writes the SPMD entry of one function.
class EntryBuilder {
public:
  EntryBuilder(MacroBuilder &m, func::FuncOp function, ModuleOp module)
      : m(m), function(function), module(module), abi(m.pointerBytes()) {}
  void build(StringRef symbol);

private:
  Value address(kernel::BufferOp buffer);
  Value chunkCount(kernel::CallOp call);
  Value rangeBegin(Value chunks, Value owner);
  void run(kernel::CallOp call, Value chunk);
  void phase(kernel::PhaseOp phase, int64_t parity);
  void tellChosen(kernel::CallOp call);
  void prefetchStart(kernel::PhaseOp phase);
  void dispatch(ArrayRef<kernel::CallOp> calls, ArrayRef<Value> starts,
                Value chunk);

  MacroBuilder &m;
  func::FuncOp function;
  ModuleOp module;
  const StepAbi abi;
  Value spaces[6]; ///< base address, by kernel::Space
  Value sync, thread, threads, n, pos;
  bool oneToken = false;
};

Value EntryBuilder::address(kernel::BufferOp buffer) {
  return m.at(spaces[unsigned(buffer.getSpace())], buffer.getOffset());
}

Value EntryBuilder::chunkCount(kernel::CallOp call) {
  auto decl = module.lookupSymbol<kernel::DeclOp>(call.getCallee());
  kernel::ChunksAttr chunks = decl.getChunks();
  if (int64_t piece = DeclParams(decl)["piece"]; piece && !call.getReplicated())
    return m.mul(m.div(m.add(m.add(pos, n), m.i64(piece - 1)), piece),
                 chunks.getFixed());
  if (chunks.getTokens() == 0 || oneToken)
    return m.i64(chunks.getFixed());
  Value pieces =
      m.div(m.add(n, m.i64(chunks.getTokens() - 1)), chunks.getTokens());
  return m.mul(pieces, chunks.getFixed());
}

/// The first of the chunks that are `owner`'s (lfm_sync).
Value EntryBuilder::rangeBegin(Value chunks, Value owner) {
  Value product = arith::MulIOp::create(m.b, m.loc, chunks, owner);
  return arith::DivUIOp::create(m.b, m.loc, product, threads);
}

void EntryBuilder::run(kernel::CallOp call, Value chunk) {
  SmallVector<Value> operands;
  for (Value operand : call.getOperands())
    operands.push_back(address(operand.getDefiningOp<kernel::BufferOp>()));
  operands.append({n, pos, chunk});
  auto callee =
      m.out.lookupSymbol<LLVM::LLVMFuncOp>(("k_" + call.getCallee()).str());
  LLVM::CallOp::create(m.b, m.loc, callee, operands);
}

/// Chunk numbers run through the calls of the phase one after the other.
void EntryBuilder::dispatch(ArrayRef<kernel::CallOp> calls,
                            ArrayRef<Value> starts, Value chunk) {
  if (calls.size() == 1)
    return run(calls.front(),
               starts.front() ? m.sub(chunk, starts.front()) : chunk);
  Value inFirst = m.less(chunk, starts[1]);
  auto op = scf::IfOp::create(m.b, m.loc, inFirst, /*withElseRegion=*/true);
  OpBuilder::InsertionGuard guard(m.b);
  m.b.setInsertionPoint(op.thenBlock()->getTerminator());
  dispatch(calls.take_front(), starts.take_front(), chunk);
  m.b.setInsertionPoint(op.elseBlock()->getTerminator());
  dispatch(calls.drop_front(), starts.drop_front(), chunk);
}

/// What this thread will read first in `phase`, if that is a stream of weights:
/// memory would idle while threads wait for each other and prepare the input.
void EntryBuilder::prefetchStart(kernel::PhaseOp phase) {
  constexpr int64_t bytes = 48 << 10;
  SmallVector<kernel::CallOp> shared;
  for (auto call : phase.getBody().getOps<kernel::CallOp>())
    if (!call.getReplicated())
      shared.push_back(call);
  if (shared.size() != 1)
    return;
  auto decl = module.lookupSymbol<kernel::DeclOp>(shared[0].getCallee());
  const int64_t chunkBytes = DeclParams(decl)["chunk_bytes"];
  auto stream = shared[0].getOperand(1).getDefiningOp<kernel::BufferOp>();
  if (!chunkBytes || !stream)
    return;
  Value first = rangeBegin(chunkCount(shared[0]), thread);
  m.prefetch(m.at(address(stream), first, chunkBytes), bytes);
}

/// Thread 0 tells the runtime which experts are about to be read.
void EntryBuilder::tellChosen(kernel::CallOp call) {
  auto decl = module.lookupSymbol<kernel::DeclOp>(call.getCallee());
  DeclParams params(decl);
  if (decl.getGenerator() != "experts" || !params["swiglu"])
    return;
  OpBuilder &b = m.b;
  Value hook = m.load(m.pointerType(), m.at(sync, abi.chosen));
  Value some =
      LLVM::ICmpOp::create(b, m.loc, LLVM::ICmpPredicate::ne, hook,
                           LLVM::ZeroOp::create(b, m.loc, m.pointerType()));
  Value first = arith::CmpIOp::create(b, m.loc, arith::CmpIPredicate::eq,
                                      thread, m.i64(0));
  m.ifThen(arith::AndIOp::create(b, m.loc, some, first), [&] {
    auto weights = call.getOperand(1).getDefiningOp<kernel::BufferOp>();
    Value chosen =
        address(call.getOperand(2).getDefiningOp<kernel::BufferOp>());
    auto type = LLVM::LLVMFunctionType::get(
        LLVM::LLVMVoidType::get(b.getContext()),
        {m.pointerType(), b.getI64Type(), m.pointerType(), b.getI64Type()});
    LLVM::CallOp::create(b, m.loc, type,
                         ValueRange{hook, sync, m.i64(weights.getOffset()),
                                    chosen, m.mul(n, params["top_k"])});
  });
}

void EntryBuilder::phase(kernel::PhaseOp phase, int64_t parity) {
  SmallVector<kernel::CallOp> shared;
  for (auto call : phase.getBody().getOps<kernel::CallOp>()) {
    if (call.getReplicated())
      m.loop(m.i64(0), chunkCount(call), 1, [&](Value c) { run(call, c); });
    else
      shared.push_back(call);
  }
  for (kernel::CallOp call : shared)
    tellChosen(call);
  SmallVector<Value> starts(shared.size());
  Value total;
  for (auto [start, call] : llvm::zip(starts, shared)) {
    start = total;
    Value count = chunkCount(call);
    total = total ? m.add(total, count) : count;
  }

  OpBuilder &b = m.b;
  Value tickets = m.load(m.pointerType(),
                         m.at(sync, abi.tickets + parity * abi.ticketStride));
  Type i64 = b.getI64Type();
  // Own range first, then those of the others in turn.
  m.loop(m.i64(0), threads, 1, [&](Value v) {
    Value owner = arith::RemUIOp::create(b, m.loc, m.add(thread, v), threads);
    Value begin = rangeBegin(total, owner);
    Value count = m.sub(rangeBegin(total, m.add(owner, m.i64(1))), begin);
    Value ticket = m.at(tickets, owner, sizeof(lfm_ticket));
    // while ((c = ticket++) < count) run chunk begin + c
    auto loop = scf::WhileOp::create(b, m.loc, TypeRange{i64}, ValueRange());
    OpBuilder::InsertionGuard guard(b);
    b.createBlock(&loop.getBefore());
    Value c =
        LLVM::AtomicRMWOp::create(b, m.loc, LLVM::AtomicBinOp::add, ticket,
                                  m.i64(1), LLVM::AtomicOrdering::monotonic);
    scf::ConditionOp::create(b, m.loc, m.less(c, count), ValueRange{c});
    Block *after = b.createBlock(&loop.getAfter(), {}, {i64}, {m.loc});
    dispatch(shared, starts, m.add(begin, after->getArgument(0)));
    scf::YieldOp::create(b, m.loc);
  });
  if (auto next = dyn_cast_or_null<kernel::PhaseOp>(phase->getNextNode()))
    prefetchStart(next);
  auto pointer = LLVM::LLVMPointerType::get(b.getContext());
  Value barrier = m.load(pointer, m.at(sync, abi.barrier));
  auto type = LLVM::LLVMFunctionType::get(
      LLVM::LLVMVoidType::get(b.getContext()), {pointer, b.getI32Type()});
  LLVM::CallOp::create(b, m.loc, type,
                       ValueRange{barrier, sync, m.toI32(m.i64(parity))});
}

void EntryBuilder::build(StringRef symbol) {
  OpBuilder &b = m.b;
  SmallVector<Value> arguments = m.beginFunction(
      symbol, {m.pointerType(), m.pointerType(), b.getI32Type()});
  auto entry = m.out.lookupSymbol<LLVM::LLVMFuncOp>(symbol);
  entry.setLinkage(LLVM::Linkage::External);
  entry.setVisibility_(LLVM::Visibility::Hidden);
  Value args = arguments[0];
  sync = arguments[1];
  thread = m.toI64(arguments[2]);
  threads = m.toI64(m.load(b.getI32Type(), m.at(sync, abi.threads)));
  auto pointer = LLVM::LLVMPointerType::get(b.getContext());
  auto field = [&](int64_t offset) {
    return m.load(pointer, m.at(args, offset));
  };
  using kernel::Space;
  spaces[unsigned(Space::Weights)] = field(abi.weights);
  spaces[unsigned(Space::State)] = field(abi.state);
  spaces[unsigned(Space::Arena)] = field(abi.arena);
  spaces[unsigned(Space::Input)] = field(abi.input);
  spaces[unsigned(Space::Output)] = field(abi.output);
  int64_t stackBytes =
      function->getAttrOfType<IntegerAttr>("kernel.stack_bytes").getInt();
  if (stackBytes)
    spaces[unsigned(Space::Stack)] = m.stack(stackBytes);
  oneToken =
      function->getAttrOfType<IntegerAttr>("lfm2.max_tokens").getInt() == 1;
  auto load = [&](int64_t offset) {
    return m.load(b.getI64Type(), m.at(args, offset));
  };
  n = oneToken ? m.i64(1) : load(abi.n);
  pos = load(abi.pos);
  int64_t parity = 0;
  for (auto op : function.getOps<kernel::PhaseOp>()) {
    phase(op, parity);
    parity ^= 1;
  }
  m.finishFunction();
}

LogicalResult buildMacro(MacroBuilder &builder, kernel::DeclOp decl,
                         StringRef name, unsigned pointers) {
  Generator generator = generatorOf(decl.getGenerator());
  if (!generator)
    return decl.emitOpError("has no generator '") << decl.getGenerator() << "'";
  SmallVector<Value> arguments = builder.beginMacro(name, pointers);
  generator(builder, DeclParams(decl),
            {ArrayRef(arguments).take_front(pointers), arguments[pointers],
             arguments[pointers + 1], arguments[pointers + 2]});
  builder.finishFunction();
  // One symbol a kernel in profiles.
  builder.out.lookupSymbol<LLVM::LLVMFuncOp>(name).setNoInline(true);
  return success();
}

OwningOpRef<ModuleOp> emptyModule(ModuleOp module) {
  module.getContext()
      ->loadDialect<LLVM::LLVMDialect, scf::SCFDialect, arith::ArithDialect>();
  return ModuleOp::create(module.getLoc());
}

LogicalResult toLlvmDialect(ModuleOp module) {
  PassManager pm(module.getContext());
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
  pm.addPass(createSCFToControlFlowPass());
  pm.addPass(createConvertToLLVMPass());
  pm.addPass(createReconcileUnrealizedCastsPass());
  return pm.run(module);
}

} // namespace

OwningOpRef<ModuleOp> lowerKernel(kernel::DeclOp decl, unsigned pointers,
                                  const Target &target, StringRef symbol,
                                  MicroKernels &micros) {
  auto out = emptyModule(decl->getParentOfType<ModuleOp>());
  MacroBuilder builder(*out, target, micros);
  builder.loc = decl.getLoc();
  if (failed(buildMacro(builder, decl, symbol, pointers)))
    return {};
  auto function = out->lookupSymbol<LLVM::LLVMFuncOp>(symbol);
  function.setLinkage(LLVM::Linkage::External);
  if (failed(toLlvmDialect(*out)))
    return {};
  return out;
}

OwningOpRef<ModuleOp> lowerProgram(ModuleOp module, const Target &target,
                                   StringRef modelName, MicroKernels &micros) {
  auto out = emptyModule(module);
  MacroBuilder builder(*out, target, micros);

  llvm::StringMap<unsigned> pointers; // operands of each declaration
  module.walk([&](kernel::CallOp call) {
    pointers[call.getCallee()] = call.getNumOperands();
  });
  for (auto decl : module.getOps<kernel::DeclOp>()) {
    if (!pointers.contains(decl.getSymName()))
      continue;
    std::string name = ("k_" + decl.getSymName()).str();
    builder.loc = decl.getLoc();
    if (decl.getGenerator() == "expand") {
      if (failed(buildExpansion(builder, name, decl, module)))
        return {};
      continue;
    }
    if (failed(buildMacro(builder, decl, name,
                          pointers.lookup(decl.getSymName()))))
      return {};
  }
  for (auto function : module.getOps<func::FuncOp>())
    if (!function.isPrivate()) {
      builder.loc = function.getLoc();
      EntryBuilder(builder, function, module)
          .build((modelName + "_" + function.getSymName()).str());
    }

  if (failed(toLlvmDialect(*out)))
    return {};
  return out;
}

} // namespace lfmc
