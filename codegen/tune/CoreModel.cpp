// SPDX-License-Identifier: Apache-2.0
#include "codegen/tune/CoreModel.h"

#include "frontend/Errors.h"

#include "llvm/MC/MCAsmInfo.h"
#include "llvm/MC/MCContext.h"
#include "llvm/MC/MCDisassembler/MCDisassembler.h"
#include "llvm/MC/MCInstrAnalysis.h"
#include "llvm/MC/MCInstrInfo.h"
#include "llvm/MC/MCRegisterInfo.h"
#include "llvm/MC/MCSubtargetInfo.h"
#include "llvm/MC/MCTargetOptions.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/MCA/Context.h"
#include "llvm/MCA/InstrBuilder.h"
#include "llvm/MCA/Pipeline.h"
#include "llvm/MCA/SourceMgr.h"
#include "llvm/Support/TargetSelect.h"

using namespace llvm;

namespace lfmc::tune {
namespace {

// Enough for the pipeline's start and end not to count.
constexpr unsigned iterations = 100;

// Instructions that LLVM's model of Oryon lacks, and others that take the same
// pipes. Operands beyond theirs (a lane, a shift) are dropped.
constexpr std::pair<StringLiteral, StringLiteral> likes[] = {
    {"SDOTlanev16i8", "SDOTv16i8"},
    {"UDOTlanev16i8", "UDOTv16i8"},
    {"SCVTFv4i32_shift", "FRINTNv4f32"},
    {"SCVTFv4f32", "FRINTNv4f32"},
};

} // namespace

struct CoreModel::Parts {
  std::unique_ptr<MCRegisterInfo> registers;
  std::unique_ptr<MCAsmInfo> assembly;
  std::unique_ptr<MCInstrInfo> instructions;
  std::unique_ptr<MCSubtargetInfo> code; ///< what is read
  std::unique_ptr<MCSubtargetInfo> core; ///< what is modelled
  std::unique_ptr<MCContext> context;
  std::unique_ptr<MCDisassembler> disassembler;
  std::unique_ptr<MCInstrAnalysis> analysis;

  std::optional<MCInst> like(const MCInst &instruction) const;
};

CoreModel::CoreModel() : parts(std::make_unique<Parts>()) {}
CoreModel::~CoreModel() = default;

Expected<std::unique_ptr<CoreModel>> CoreModel::create(const Target &target,
                                                       StringRef cpu) {
  InitializeAllTargetInfos();
  InitializeAllTargetMCs();
  InitializeAllDisassemblers();
  std::string message;
  const Triple triple(target.triple);
  const llvm::Target *llvmTarget =
      TargetRegistry::lookupTarget(triple, message);
  if (!llvmTarget)
    return makeError("{}", message);
  std::unique_ptr<CoreModel> model(new CoreModel);
  Parts &parts = *model->parts;
  parts.registers.reset(llvmTarget->createMCRegInfo(triple));
  parts.assembly.reset(
      llvmTarget->createMCAsmInfo(*parts.registers, triple, MCTargetOptions()));
  parts.instructions.reset(llvmTarget->createMCInstrInfo());
  parts.code.reset(
      llvmTarget->createMCSubtargetInfo(triple, target.cpu, target.features));
  if (!parts.code->isCPUStringValid(cpu))
    return makeError("expected a core that LLVM has a model of, found {}",
                     inQuotes(cpu));
  parts.core.reset(
      llvmTarget->createMCSubtargetInfo(triple, cpu, target.features));
  if (!parts.core->getSchedModel().hasInstrSchedModel())
    return makeError("LLVM has no model of the pipes of {}", inQuotes(cpu));
  parts.context = std::make_unique<MCContext>(
      triple, parts.assembly.get(), parts.registers.get(), parts.code.get());
  parts.disassembler.reset(
      llvmTarget->createMCDisassembler(*parts.code, *parts.context));
  parts.analysis.reset(
      llvmTarget->createMCInstrAnalysis(parts.instructions.get()));
  return model;
}

std::optional<MCInst> CoreModel::Parts::like(const MCInst &instruction) const {
  for (auto &[lacking, other] : likes)
    if (instructions->getName(instruction.getOpcode()) == lacking)
      for (unsigned opcode = 0; opcode < instructions->getNumOpcodes();
           ++opcode)
        if (instructions->getName(opcode) == other) {
          MCInst result;
          result.setOpcode(opcode);
          const unsigned operands = instructions->get(opcode).getNumOperands();
          for (unsigned i = 0; i < operands; ++i)
            result.addOperand(instruction.getOperand(i));
          return result;
        }
  return std::nullopt;
}

std::optional<double> CoreModel::cycles(ArrayRef<uint8_t> code,
                                        uint64_t address,
                                        unsigned count) const {
  const MCSubtargetInfo &core = *parts->core;
  mca::InstrumentManager instruments(core, *parts->instructions);
  mca::InstrBuilder builder(core, *parts->instructions, *parts->registers,
                            parts->analysis.get(), instruments,
                            /*CallLatency=*/100);
  std::vector<std::unique_ptr<mca::Instruction>> body;
  unsigned lacking = 0;
  auto add = [&](const MCInst &instruction) {
    const MCInstrDesc &what = parts->instructions->get(instruction.getOpcode());
    if (what.isCall() || what.isReturn()) // as if predicted
      return false;
    auto made = builder.createInstruction(instruction, {});
    if (!made) {
      consumeError(made.takeError());
      return false;
    }
    body.push_back(std::move(*made));
    return true;
  };
  for (unsigned i = 0; i < count; ++i) {
    MCInst instruction;
    uint64_t size = 0;
    if (code.empty() ||
        parts->disassembler->getInstruction(instruction, size, code, address,
                                            nulls()) != MCDisassembler::Success)
      return std::nullopt;
    code = code.drop_front(size);
    address += size;
    if (add(instruction))
      continue;
    std::optional<MCInst> other = parts->like(instruction);
    lacking += !other || !add(*other);
  }
  const double places =
      double(lacking) / std::max(1u, core.getSchedModel().IssueWidth);
  if (body.empty())
    return places;
  mca::CircularSourceMgr source(body, iterations);
  mca::CustomBehaviour behaviour(core, source, *parts->instructions);
  mca::Context context(*parts->registers, core);
  // What the core is made of, and loads that do not wait for stores.
  mca::PipelineOptions options(0, 0, 0, 0, 0, 0, /*NoAlias=*/true);
  auto pipeline = context.createDefaultPipeline(options, source, behaviour);
  Expected<unsigned> total = pipeline->run();
  if (!total) {
    consumeError(total.takeError());
    return std::nullopt;
  }
  return double(*total) / iterations + places;
}

} // namespace lfmc::tune
