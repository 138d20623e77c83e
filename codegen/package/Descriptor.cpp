// SPDX-License-Identifier: Apache-2.0
#include "codegen/package/Descriptor.h"

#include "frontend/Errors.h"
#include "runtime/include/lfm/program.h"

#include "llvm/IR/Constants.h"
#include "llvm/IR/DataLayout.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Module.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"

#include <cstddef>
#include <mutex>

using namespace llvm;

namespace lfmc {
namespace {

// Builds a constant struct field by field and remembers where C puts each, so
// that the two layouts can be compared where pointers have the same size as
// here. Elsewhere the rule is the same; the runtime there compares the size.
class StructBuilder {
public:
  void add(Constant *value, size_t offset, const char *name) {
    fields.push_back(value);
    wanted.push_back({offset, name});
  }
  void replace(size_t field, Constant *value) { fields[field] = value; }

  uint64_t bytes(LLVMContext &context, const DataLayout &layout) const {
    Constant *constant = ConstantStruct::getAnon(context, fields);
    return layout.getTypeAllocSize(constant->getType());
  }

  Expected<Constant *> finish(LLVMContext &context, const DataLayout &layout,
                              size_t bytes, const char *name) const {
    Constant *constant = ConstantStruct::getAnon(context, fields);
    if (layout.getPointerSize() != sizeof(void *))
      return constant;
    auto *type = cast<StructType>(constant->getType());
    const StructLayout *places = layout.getStructLayout(type);
    for (size_t i = 0; i < fields.size(); ++i)
      if (places->getElementOffset(i).getFixedValue() != wanted[i].offset)
        return makeError("{}.{}: expected offset {} on this target, found {}",
                         name, wanted[i].name, wanted[i].offset,
                         places->getElementOffset(i).getFixedValue());
    if (places->getSizeInBytes().getFixedValue() != bytes)
      return makeError("{}: expected {} bytes on this target, found {}", name,
                       bytes, places->getSizeInBytes().getFixedValue());
    return constant;
  }

private:
  struct Field {
    size_t offset;
    const char *name;
  };
  std::vector<Constant *> fields;
  std::vector<Field> wanted;
};

#define FIELD(type, name) offsetof(type, name), #name

class DescriptorModule {
public:
  DescriptorModule(const ProgramInfo &info, const TargetMachine &machine)
      : info(info), module(info.name + "_descriptor", context) {
    module.setTargetTriple(machine.getTargetTriple());
    module.setDataLayout(machine.createDataLayout());
  }

  Error build();
  Module &get() { return module; }

private:
  ConstantInt *int32(int64_t value) {
    return ConstantInt::getSigned(Type::getInt32Ty(context), value);
  }
  ConstantInt *uint32(uint32_t value) {
    return ConstantInt::get(Type::getInt32Ty(context), value);
  }
  ConstantInt *int64(uint64_t value) {
    return ConstantInt::get(Type::getInt64Ty(context), value);
  }
  Constant *number(float value) {
    return ConstantFP::get(Type::getFloatTy(context), value);
  }
  Constant *hidden(Constant *initializer, const Twine &name, uint64_t align);
  Constant *text(StringRef value, const Twine &name);
  Constant *table(ArrayRef<Constant *> rows, const Twine &name);
  Constant *entry(const Twine &symbol);
  Expected<Constant *> states();
  Expected<Constant *> experts();
  Expected<Constant *> sampling();

  const ProgramInfo &info;
  LLVMContext context;
  Module module;
};

Constant *DescriptorModule::hidden(Constant *initializer, const Twine &name,
                                   uint64_t align) {
  auto *global =
      new GlobalVariable(module, initializer->getType(), /*isConstant=*/true,
                         GlobalValue::PrivateLinkage, initializer, name);
  global->setAlignment(Align(align));
  return global;
}

Constant *DescriptorModule::text(StringRef value, const Twine &name) {
  return hidden(ConstantDataArray::getString(context, value), name, 1);
}

Constant *DescriptorModule::entry(const Twine &symbol) {
  Type *pointer = PointerType::getUnqual(context);
  auto *type = FunctionType::get(Type::getVoidTy(context),
                                 {pointer, pointer, Type::getInt32Ty(context)},
                                 /*isVarArg=*/false);
  auto *function =
      Function::Create(type, GlobalValue::ExternalLinkage, symbol, module);
  function->setVisibility(GlobalValue::HiddenVisibility);
  return function;
}

Constant *DescriptorModule::table(ArrayRef<Constant *> rows,
                                  const Twine &name) {
  if (rows.empty())
    return ConstantPointerNull::get(PointerType::getUnqual(context));
  auto *type = ArrayType::get(rows[0]->getType(), rows.size());
  return hidden(ConstantArray::get(type, rows), name, 8);
}

Expected<Constant *> DescriptorModule::states() {
  std::vector<Constant *> rows;
  for (const StateInfo &state : info.states) {
    StructBuilder row;
    row.add(text(state.name, "state"), FIELD(lfm_state_info, name));
    row.add(int64(state.offset), FIELD(lfm_state_info, offset));
    row.add(int64(state.bytes), FIELD(lfm_state_info, bytes));
    row.add(int64(state.bytesPerToken), FIELD(lfm_state_info, bytes_per_token));
    row.add(uint32(state.regions), FIELD(lfm_state_info, regions));
    row.add(uint32(state.granule), FIELD(lfm_state_info, granule));
    Expected<Constant *> done =
        row.finish(context, module.getDataLayout(), sizeof(lfm_state_info),
                   "lfm_state_info");
    if (!done)
      return done;
    rows.push_back(*done);
  }
  return table(rows, "states");
}

Expected<Constant *> DescriptorModule::experts() {
  std::vector<Constant *> rows;
  for (const ExpertsInfo &layer : info.experts) {
    StructBuilder row;
    row.add(int64(layer.upOffset), FIELD(lfm_experts_info, up_offset));
    row.add(int64(layer.upBytes), FIELD(lfm_experts_info, up_bytes));
    row.add(int64(layer.downOffset), FIELD(lfm_experts_info, down_offset));
    row.add(int64(layer.downBytes), FIELD(lfm_experts_info, down_bytes));
    row.add(int32(layer.layer), FIELD(lfm_experts_info, layer));
    row.add(int32(layer.count), FIELD(lfm_experts_info, count));
    row.add(int32(layer.perToken), FIELD(lfm_experts_info, per_token));
    // What C adds to make the size a multiple of the alignment.
    row.add(int32(0), offsetof(lfm_experts_info, per_token) + 4, "padding");
    Expected<Constant *> done =
        row.finish(context, module.getDataLayout(), sizeof(lfm_experts_info),
                   "lfm_experts_info");
    if (!done)
      return done;
    rows.push_back(*done);
  }
  return table(rows, "experts");
}

Expected<Constant *> DescriptorModule::sampling() {
  const SamplingDefaults &from = info.sampling;
  // do_sample = false is how a checkpoint asks for the most likely token.
  float temperature = from.doSample == 0 ? 0 : from.temperature;
  StructBuilder to;
  to.add(number(temperature), FIELD(lfm_sampling_defaults, temperature));
  to.add(number(from.topP), FIELD(lfm_sampling_defaults, top_p));
  to.add(number(from.minP), FIELD(lfm_sampling_defaults, min_p));
  to.add(number(from.repetitionPenalty),
         FIELD(lfm_sampling_defaults, repetition_penalty));
  to.add(int32(from.topK), FIELD(lfm_sampling_defaults, top_k));
  return to.finish(context, module.getDataLayout(),
                   sizeof(lfm_sampling_defaults), "lfm_sampling_defaults");
}

Error DescriptorModule::build() {
  Expected<Constant *> stateTable = states();
  if (!stateTable)
    return stateTable.takeError();
  Expected<Constant *> expertTable = experts();
  if (!expertTable)
    return expertTable.takeError();
  Expected<Constant *> defaults = sampling();
  if (!defaults)
    return defaults.takeError();
  Constant *null = ConstantPointerNull::get(PointerType::getUnqual(context));
  Constant *eos =
      info.eos.empty()
          ? null
          : hidden(ConstantDataArray::get(
                       context, ArrayRef(reinterpret_cast<const uint32_t *>(
                                             info.eos.data()),
                                         info.eos.size())),
                   "eos", 4);
  Constant *tokenizer =
      info.tokenizer.empty()
          ? null
          : hidden(ConstantDataArray::getString(context, info.tokenizer,
                                                /*AddNull=*/false),
                   "tokenizer", 64);

  auto program = [&](const Target &target, const ArenaInfo &arena,
                     const std::string &prefix,
                     ArrayRef<Constant *> better) -> Expected<Constant *> {
    StructBuilder b;
    b.add(uint32(LFM_PROGRAM_ABI), FIELD(lfm_program, abi));
    const unsigned bytesField = 1;
    b.add(uint32(0), FIELD(lfm_program, bytes));
    b.add(text(info.name, "name"), FIELD(lfm_program, name));
    b.add(text(target.name, "target"), FIELD(lfm_program, target));
    b.add(text(info.compiler, "compiler"), FIELD(lfm_program, compiler));
    b.add(uint32(target.cpuFeatures), FIELD(lfm_program, cpu_features));
    b.add(int32(info.vocabSize), FIELD(lfm_program, vocab_size));
    b.add(int32(info.hiddenSize), FIELD(lfm_program, hidden_size));
    b.add(int32(info.maxContext), FIELD(lfm_program, max_context));
    b.add(int32(info.maxPrefill), FIELD(lfm_program, max_prefill));
    b.add(ConstantDataArray::get(context, info.weightsId),
          FIELD(lfm_program, weights_id));
    b.add(int64(info.weightsBytes), FIELD(lfm_program, weights_bytes));
    b.add(int64(info.stateBytes), FIELD(lfm_program, state_bytes));
    b.add(int64(arena.bytes), FIELD(lfm_program, arena_bytes));
    b.add(entry(prefix + "_decode"), FIELD(lfm_program, decode));
    b.add(entry(prefix + "_prefill"), FIELD(lfm_program, prefill));
    b.add(entry(prefix + "_head"), FIELD(lfm_program, head));
    const bool cut = info.promptRows > 0;
    b.add(cut ? entry(prefix + "_prompt") : null, FIELD(lfm_program, prompt));
    b.add(cut ? entry(prefix + "_prompt_end") : null,
          FIELD(lfm_program, prompt_end));
    b.add(int32(info.promptRows), FIELD(lfm_program, prompt_rows));
    b.add(*stateTable, FIELD(lfm_program, states));
    b.add(int32(info.states.size()), FIELD(lfm_program, state_count));
    b.add(*expertTable, FIELD(lfm_program, experts));
    b.add(int32(info.experts.size()), FIELD(lfm_program, expert_layers));
    b.add(int32(info.bos), FIELD(lfm_program, bos));
    b.add(int32(info.pad), FIELD(lfm_program, pad));
    b.add(eos, FIELD(lfm_program, eos));
    b.add(int32(info.eos.size()), FIELD(lfm_program, eos_count));
    b.add(*defaults, FIELD(lfm_program, sampling));
    b.add(tokenizer, FIELD(lfm_program, tokenizer));
    b.add(int64(info.tokenizer.size()), FIELD(lfm_program, tokenizer_bytes));
    auto *type = ArrayType::get(PointerType::getUnqual(context), better.size());
    b.add(better.empty()
              ? null
              : hidden(ConstantArray::get(type, better), "levels", 8),
          FIELD(lfm_program, levels));
    b.add(int32(better.size()), FIELD(lfm_program, level_count));
    b.add(int64(arena.decodeBytes), FIELD(lfm_program, decode_arena_bytes));
    b.replace(bytesField, uint32(b.bytes(context, module.getDataLayout())));
    return b.finish(context, module.getDataLayout(), sizeof(lfm_program),
                    "lfm_program");
  };

  // The best first, so that the list of what is better grows to the worst.
  std::vector<Constant *> better;
  const Target *target = info.target;
  ArenaInfo arena = info.arena;
  std::string prefix = info.name;
  for (const LevelInfo &level : reverse(info.levels)) {
    Expected<Constant *> found = program(*target, arena, prefix, {});
    if (!found)
      return found.takeError();
    better.push_back(hidden(*found, "level", 8));
    target = level.target;
    arena = level.arena;
    prefix = levelName(info.name, *target);
  }
  Expected<Constant *> worst = program(*target, arena, prefix, better);
  if (!worst)
    return worst.takeError();
  auto *global = new GlobalVariable(
      module, (*worst)->getType(), /*isConstant=*/true,
      GlobalValue::ExternalLinkage, *worst, info.name + "_program");
  global->setAlignment(Align(8));
  return Error::success();
}

Expected<std::unique_ptr<TargetMachine>> createMachine(const Target &target) {
  static std::once_flag once;
  std::call_once(once, [] {
    InitializeAllTargetInfos();
    InitializeAllTargets();
    InitializeAllTargetMCs();
    InitializeAllAsmPrinters();
  });
  std::string message;
  Triple triple(target.triple);
  const llvm::Target *found = TargetRegistry::lookupTarget(triple, message);
  if (!found)
    return makeError("target {}: {}", target.name.str(), message);
  std::unique_ptr<TargetMachine> machine(found->createTargetMachine(
      triple, target.cpu, target.features, TargetOptions(), Reloc::PIC_));
  if (!machine)
    return makeError("target {}: LLVM has no code generator for {}",
                     target.name.str(), target.triple.str());
  return machine;
}

} // namespace

std::string levelName(const std::string &package, const Target &target) {
  std::string level = target.name.str();
  replace(level, '-', '_');
  return package + "_" + level;
}

Expected<ObjectFile> generateDescriptor(const ProgramInfo &info) {
  Expected<std::unique_ptr<TargetMachine>> machine =
      createMachine(*info.target);
  if (!machine)
    return machine.takeError();
  DescriptorModule module(info, **machine);
  if (Error error = module.build())
    return error;
  ObjectFile object;
  object.name = "descriptor.o";
  raw_svector_ostream stream(object.bytes);
  legacy::PassManager passes;
  if ((*machine)->addPassesToEmitFile(passes, stream, nullptr,
                                      CodeGenFileType::ObjectFile))
    return makeError("target {}: cannot write object files",
                     info.target->name.str());
  passes.run(module.get());
  return object;
}

} // namespace lfmc
