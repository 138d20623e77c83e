// SPDX-License-Identifier: Apache-2.0
#include "codegen/package/Driver.h"

#include "frontend/Errors.h"
#include "frontend/Gguf.h"
#include "frontend/ImportLfm2.h"
#include "frontend/Tokenizer.h"
#include "passes/Passes.h"
#include "passes/Pipeline.h"
#include "targets/Tuning.h"

#include "mlir/IR/Diagnostics.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/TargetParser/Triple.h"

#include <thread>

using namespace llvm;

namespace lfmc {

std::string compilerVersion() { return "lfmc " LFMC_VERSION; }

// One line: the message and where; a tensor or layer where the location has
// one.
static std::string diagnosticLine(const mlir::Diagnostic &diagnostic) {
  std::string text = diagnostic.str(), place;
  diagnostic.getLocation()->walk([&](mlir::Location location) {
    if (auto named = dyn_cast<mlir::NameLoc>(location))
      place = " (at " + inQuotes(named.getName()) + ")";
    else if (isa<mlir::FileLineColLoc>(location))
      raw_string_ostream(place) << " (at " << location << ")";
    return place.empty() ? mlir::WalkResult::advance()
                         : mlir::WalkResult::interrupt();
  });
  return text + place;
}

Compilation::Compilation(const CompileOptions &options) : options(options) {
  prepareForCodegen(context);
  context.getDiagEngine().registerHandler([this](mlir::Diagnostic &diagnostic) {
    std::string text = diagnosticLine(diagnostic);
    for (const mlir::Diagnostic &note : diagnostic.getNotes())
      text += "\n  note: " + diagnosticLine(note);
    if (diagnostic.getSeverity() == mlir::DiagnosticSeverity::Error)
      diagnostics += (diagnostics.empty() ? "" : "\n") + text;
    else if (this->options.remark)
      this->options.remark(text);
  });
}

Compilation::~Compilation() = default;

Error Compilation::takeDiagnostics(const char *what) {
  std::string text = std::move(diagnostics);
  diagnostics.clear();
  return makeError("{}", text.empty() ? fmt::format("{} failed", what) : text);
}

Expected<std::unique_ptr<Compilation>>
Compilation::open(const CompileOptions &options) {
  std::unique_ptr<Compilation> result(new Compilation(options));
  auto targets = findTargets(options.target, options.isa);
  if (!targets)
    return targets.takeError();
  result->machine = targets->pop_back_val();
  for (const Target *level : *targets)
    result->levels.push_back({level, {}});
  Expected<Checkpoint> checkpoint = Checkpoint::open(options.checkpoint);
  if (!checkpoint)
    return checkpoint.takeError();
  result->checkpoint.emplace(std::move(*checkpoint));
  result->packageName = options.name;
  if (options.name.empty()) {
    SmallString<128> real;
    if (sys::fs::real_path(options.checkpoint, real))
      real = options.checkpoint;
    // Version numbers in a directory's name are no extension.
    StringRef base =
        isGguf(real) ? sys::path::stem(real) : sys::path::filename(real);
    result->packageName = lfmc::packageName(base.str());
  } else if (!isPackageName(options.name)) {
    return makeError("expected a name of letters, digits and '_' that starts "
                     "with a letter, of at most 64 characters, found {}",
                     inQuotes(options.name));
  }
  if (Error error = result->import())
    return error;
  return result;
}

Error Compilation::readTokenizer() {
  if (!checkpoint->hasTokenizer()) {
    if (options.remark)
      options.remark("the checkpoint has no tokenizer: the package will work "
                     "on token ids only");
    return Error::success();
  }
  Expected<std::vector<uint8_t>> tables =
      compileTokenizer(options.checkpoint, checkpoint->config().vocabSize);
  if (!tables)
    return tables.takeError();
  tokenizer = std::move(*tables);
  return Error::success();
}

Error Compilation::import() {
  const ModelConfig &config = checkpoint->config();
  for (const std::string &note : config.notes)
    if (options.remark)
      options.remark(note);
  if (Error error = readTokenizer())
    return error;
  maxContext = options.maxContext;
  if (!maxContext)
    maxContext = std::min<int64_t>(4096, config.maxPositionEmbeddings);
  maxPrefill = options.maxPrefill;
  if (!maxPrefill)
    maxPrefill = std::min<int64_t>(512, maxContext);
  ImportOptions importing;
  importing.weights = options.weights;
  bool quantized = !options.quant.empty();
  if (!options.weights)
    for (const TensorInfo &info : checkpoint->tensors().tensors())
      quantized |= dtypeElements(info.dtype) > 1;
  importing.cache = options.cache.value_or(quantized ? lfm2::StoredKind::F16
                                                     : lfm2::StoredKind::F32);
  importing.maxContext = maxContext;
  importing.maxPrefill = maxPrefill;
  module = importLfm2(context, *checkpoint, importing);
  return module ? Error::success() : takeDiagnostics("import");
}

Error Compilation::run(mlir::ModuleOp module,
                       function_ref<void(mlir::OpPassManager &)> build) {
  mlir::PassManager passes(&context);
  build(passes);
  return mlir::succeeded(passes.run(module)) ? Error::success()
                                             : takeDiagnostics("a pass");
}

Error Compilation::lower() {
  if (Error error = optimise())
    return error;
  tasks = tune::tasksOf(*module, *machine);
  if (Error error = run([](mlir::OpPassManager &passes) {
        passes.addPass(createSplitPrompt());
      }))
    return error;
  work = workJson(*module);
  for (Level &level : levels)
    level.module = module->clone();
  if (Error error = run([&](mlir::OpPassManager &passes) {
        buildKernelPipeline(passes, machine->name, /*pinned=*/false,
                            options.tuning.get());
      }))
    return error;
  return lowerLevels();
}

static std::string printed(mlir::ModuleOp module) {
  std::string text;
  raw_string_ostream stream(text);
  module.print(stream);
  return text;
}

Expected<std::string> Compilation::emit(EmitStage kind) {
  if (kind == EmitStage::Lfm2) {
    if (Error error = optimise())
      return error;
    return printed(*module);
  }
  if (Error error = lower())
    return error;
  if (kind == EmitStage::Kernel)
    return printed(*module);
  CodegenOptions codegen;
  codegen.target = machine;
  codegen.modelName = packageName;
  codegen.jobs = options.jobs;
  TextKind text = kind == EmitStage::Llvm       ? TextKind::Llvm
                  : kind == EmitStage::Assembly ? TextKind::Assembly
                                                : TextKind::HalideStmt;
  Expected<std::string> result = generateText(*module, codegen, text);
  if (!result && !diagnostics.empty())
    return joinErrors(takeDiagnostics("code generation"), result.takeError());
  return result;
}

Expected<std::vector<ObjectFile>>
Compilation::generate(std::vector<pack::PlannedWeight> planned,
                      const std::string &weights, PackedWeights &packed) {
  PackOptions packing;
  packing.jobs = options.jobs;
  CodegenOptions codegen;
  codegen.target = machine;
  codegen.modelName = packageName;
  codegen.cacheDir = options.cacheDir;
  codegen.jobs = options.jobs;
  if (options.progress) {
    packing.progress = [this](uint64_t done, uint64_t total) {
      options.progress("weights", done, total);
    };
    codegen.progress = [this](unsigned done, unsigned total) {
      options.progress("kernels", done, total);
    };
  }
  // The packer waits for the disk while code generation computes. It works from
  // the plan: code generation may change the module meanwhile.
  std::string packError;
  bool packFailed = false;
  std::thread packer([&] {
    Expected<PackedWeights> result = pack::packPlanned(
        std::move(planned), checkpoint->tensors(), weights, packing);
    packFailed = !result;
    if (result)
      packed = *result;
    else
      packError = toString(result.takeError());
  });
  Expected<std::vector<ObjectFile>> objects = generateObjects(*module, codegen);
  if (objects)
    if (Error error = generateLevels(codegen, *objects))
      objects = std::move(error);
  packer.join();
  if (!objects) {
    if (!diagnostics.empty())
      return joinErrors(takeDiagnostics("code generation"),
                        objects.takeError());
    return objects.takeError();
  }
  if (packFailed)
    return makeError("{}", packError);
  return objects;
}

Expected<std::vector<pack::PlannedWeight>> Compilation::plan() const {
  WeightSource source{checkpoint->tensors(), [this](StringRef name) {
                        return checkpoint->find(name);
                      }};
  Expected<std::vector<pack::PlannedWeight>> planned =
      pack::planWeights(*module, source);
  if (planned)
    for (pack::PlannedWeight &weight : *planned)
      if (weight.blocks.block)
        weight.quantizer = [this, name = weight.name, columns = weight.columns,
                            factors = weight.columnFactors] {
          return makeQuantizer(options.quantizer, name, columns, factors);
        };
  return planned;
}

/// Weights, state and arena within what the target's pointers reach; half of
/// it, because an object is no larger and code, stacks and others need room.
static Error checkAddresses(const Target &target, const Json &sizes) {
  if (!Triple(target.triple).isArch32Bit())
    return Error::success();
  constexpr uint64_t limit = uint64_t(2) << 30;
  uint64_t bytes = 0;
  for (const char *part : {"weights_bytes", "state_bytes", "arena_bytes"})
    bytes += sizes[part].get<uint64_t>();
  if (bytes <= limit)
    return Error::success();
  return makeError("target {} addresses 32 bits: expected at most {} bytes of "
                   "weights, caches and scratch, found {}; quantize further or "
                   "lower --max-context",
                   target.name.str(), limit, bytes);
}

Error Compilation::addFigures(StagedDirectory &directory) {
  Expected<std::string> path = directory.file(packageName + ".json");
  if (!path)
    return path.takeError();
  std::string folder = sys::path::parent_path(*path).str();
  Expected<Json> figures = options.measure(folder);
  if (!figures)
    return figures.takeError();
  Expected<Json> manifest = readManifest(folder);
  if (!manifest)
    return manifest.takeError();
  (*manifest)["measured"] = std::move(*figures);
  return directory.write(packageName + ".json", manifestText(*manifest));
}

Error Compilation::writePackage(StringRef path, bool force,
                                const Installation &installation) {
  Expected<StagedDirectory> directory = StagedDirectory::create(path, force);
  if (!directory)
    return directory.takeError();
  Expected<std::vector<pack::PlannedWeight>> planned = plan();
  if (!planned)
    return planned.takeError();
  PackageContents contents;
  contents.facts = facts();
  contents.target = machine;
  contents.manifest = manifest();
  if (Error error = checkAddresses(*machine, contents.manifest["sizes"]))
    return error;
  if (machine->isHexagon()) // a missing one is said before the work
    if (Expected<std::string> linker = findHexagonLinker(); !linker)
      return linker.takeError();
  Expected<std::string> weights = directory->file(packageName + ".weights");
  if (!weights)
    return weights.takeError();
  PackedWeights packed;
  Expected<std::vector<ObjectFile>> objects =
      generate(std::move(*planned), *weights, packed);
  if (!objects)
    return objects.takeError();
  Expected<ObjectFile> descriptor = generateDescriptor(programInfo(packed));
  if (!descriptor)
    return descriptor.takeError();
  contents.objects.push_back(std::move(*descriptor));
  for (ObjectFile &object : *objects)
    contents.objects.push_back(std::move(object));
  std::string id;
  for (uint8_t byte : packed.id)
    id += fmt::format("{:02x}", byte);
  contents.manifest["weights_id"] = id;
  if (Error error =
          lfmc::writePackage(*directory, std::move(contents), installation))
    return error;
  if (options.measure)
    if (Error error = addFigures(*directory))
      return error;
  return directory->commit();
}

} // namespace lfmc
