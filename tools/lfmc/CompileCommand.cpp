// SPDX-License-Identifier: Apache-2.0
#include "tools/lfmc/AutoQuant.h"
#include "tools/lfmc/Cache.h"
#include "tools/lfmc/Calibrate.h"
#include "tools/lfmc/Commands.h"
#include "tools/lfmc/CompileFlags.h"
#include "tools/lfmc/ExpertCoverage.h"
#include "tools/lfmc/Figures.h"
#include "tools/lfmc/Progress.h"

#include "frontend/Errors.h"
#include "frontend/SafeTensorsWriter.h"
#include "targets/Tuning.h"

#include "llvm/Support/raw_ostream.h"

#include <chrono>
#include <cmath>

using namespace llvm;

namespace lfmc::cli {

void addCompileFlags(CLI::App &command, CompileFlags &flags, bool prefill) {
  command.add_option("--target", flags.target,
                     "processor to compile for, see 'lfmc targets'");
  command
      .add_option("--isa", flags.isa,
                  "levels of a processor family in one library, the best is "
                  "taken at load: --target x86-64 --isa v2,v3,v4-vnni")
      ->delimiter(',');
  command
      .add_option("--weights", flags.weights,
                  "format of stored matrices: f32, bf16 or f16 (as in the "
                  "checkpoint)")
      ->check(CLI::IsMember({"f32", "bf16", "f16"}));
  command
      .add_option(
          "--quant", flags.quant,
          "quantize the matrices: q4, q4m, q6, q8 (blocks of 32; q4/64, "
          "q4/128), or for each group or weight, the last match counts: "
          "q4,head=q6,conv=q8,l0.*=keep; lfmc compile also takes auto")
      ->delimiter(',');
  command.add_option(
      "--calibrate", flags.calibrate,
      "text to quantize 4 bits and to choose with, none, or auto: the model's "
      "own (auto)");
  command
      .add_option("--calibrate-tokens", flags.calibrateTokens,
                  "tokens to calibrate with (8192; fewer for large models)")
      ->check(CLI::PositiveNumber);
  command
      .add_option("--quantizer", flags.quantizer,
                  "nearest, search or gptq (gptq, if calibrated)")
      ->check(CLI::IsMember({"nearest", "search", "gptq"}));
  command
      .add_option("--kv-cache", flags.kvCache,
                  "format of cached keys and values: f32, f16 or q8 (f16 with "
                  "--quant, else f32)")
      ->check(CLI::IsMember({"f16", "f32", "q8"}));
  command
      .add_option("--activations", flags.activations,
                  "format of what bf16 weights multiply: f32, or bf16, for "
                  "speed (f32)")
      ->check(CLI::IsMember({"f32", "bf16"}));
  command
      .add_option("--max-context", flags.maxContext,
                  "tokens that a session holds (4096)")
      ->check(CLI::PositiveNumber);
  if (prefill)
    command
        .add_option("--prefill", flags.maxPrefill,
                    "tokens of a prompt that are read in one step (512)")
        ->check(CLI::PositiveNumber);
  command.add_option(
      "--tuned-for", flags.tunedFor,
      "processor whose tuning records count, as lfmc tune names "
      "it; auto: this one, if it runs the target; or none (auto)");
  command.add_option("--jobs,-j", flags.jobs, "threads of the compiler (all)");
}

namespace {

struct Flags {
  CompileFlags compile;
  std::string checkpoint, output, emit, report;
  MixBudget budget;
  bool force = false;
  bool verify = false, choseVerify = false;

  bool isAuto() const { return llvm::is_contained(compile.quant, "auto"); }
};

// What the command line cannot mean.
void checkMix(const Flags &flags) {
  bool budget = flags.budget.bytes || flags.budget.kl;
  if (!flags.isAuto() && (budget || !flags.report.empty()))
    throw CLI::ValidationError(
        "--target-bytes, --max-kl and --report belong to --quant auto");
  if (!flags.isAuto())
    return;
  if (flags.compile.quant.size() > 1)
    throw CLI::ValidationError("--quant auto stands alone");
  if (!budget)
    throw CLI::ValidationError("--quant auto needs --target-bytes or --max-kl");
  if (flags.budget.kl &&
      !(*flags.budget.kl > 0 && std::isfinite(*flags.budget.kl)))
    throw CLI::ValidationError("--max-kl: expected a finite number above 0");
  if (!flags.emit.empty())
    throw CLI::ValidationError("--quant auto compiles a package: no --emit");
}

const std::map<std::string, EmitStage> stages = {
    {"lfm2", EmitStage::Lfm2},
    {"kernel", EmitStage::Kernel},
    {"llvm", EmitStage::Llvm},
    {"asm", EmitStage::Assembly},
    {"halide-stmt", EmitStage::HalideStmt}};

Expected<int> emitText(Compilation &compilation, const Flags &flags) {
  Expected<std::string> text = compilation.emit(stages.at(flags.emit));
  if (!text)
    return text.takeError();
  if (flags.output.empty() || flags.output == "-") {
    outs() << *text;
    outs().flush();
    if (outs().has_error()) {
      std::error_code code = outs().error();
      outs().clear_error();
      return makeError("cannot write the text: {}", code.message());
    }
    return 0;
  }
  if (Error error = writeFileAtomically(flags.output, *text))
    return error;
  return 0;
}

// Figures of small models cost seconds.
constexpr int64_t smallParameters = 64 << 20;

bool measures(const Flags &flags, const Compilation &compilation) {
  if (flags.choseVerify)
    return flags.verify;
  return !flags.compile.quant.empty() && runsOnHost(compilation.target()) &&
         compilation.source().config().parameterCount() <= smallParameters;
}

// Which records decided, by kernels.
std::string tuningSummary(const TuningTable &table) {
  using Origin = TuningTable::Origin;
  size_t counts[3] = {};
  for (auto &[kernel, origin] : table.origins())
    ++counts[size_t(origin)];
  if (table.empty() || table.origins().empty())
    return "";
  return fmt::format("kernels: {} tuned for {}, {} for its family, {} preset\n",
                     counts[size_t(Origin::Device)], table.cpu(),
                     counts[size_t(Origin::Family)],
                     counts[size_t(Origin::Preset)]);
}

Expected<int> compile(const Flags &flags) {
  auto start = std::chrono::steady_clock::now();
  if (flags.emit.empty() && flags.output.empty())
    return makeError("expected -o with the directory of the package");
  CompileFlags chosen = flags.compile;
  std::optional<MixReport> mix;
  if (flags.isAuto()) {
    Expected<MixReport> made =
        chooseMix(flags.checkpoint, flags.compile, flags.budget);
    if (!made)
      return made.takeError();
    mix = std::move(*made);
    chosen.quant = mix->schemes();
    chosen.calibration = mix->calibration;
  }
  Expected<CompileOptions> options = chosen.options(flags.checkpoint);
  if (!options)
    return options.takeError();
  if (mix)
    options->mix = mix->json();
  if (flags.emit.empty())
    if (Error error = chooseQuantizer(chosen, *options))
      return error;
  Progress progress;
  options->progress = [&](const char *stage, uint64_t done, uint64_t total) {
    progress.update(stage, done, total);
  };
  bool measured = false;
  options->measure = [&](const std::string &directory) -> Expected<Json> {
    if (!measured)
      return Json(nullptr);
    return measureFigures(directory, flags.checkpoint, chosen, *options,
                          flags.verify);
  };
  Expected<std::unique_ptr<Compilation>> compilation =
      Compilation::open(*options);
  if (!compilation)
    return compilation.takeError();
  measured = measures(flags, **compilation);
  if (measured && !runsOnHost((*compilation)->target()))
    return makeError("--verify runs the package: this machine cannot run {}",
                     (*compilation)->target().name.str());
  if (!flags.emit.empty())
    return emitText(**compilation, flags);
  Expected<Installation> installation = Installation::find(executablePath());
  if (!installation)
    return installation.takeError();
  if (Error error = (*compilation)->lower())
    return error;
  if (Error error =
          (*compilation)
              ->writePackage(flags.output, flags.force, *installation))
    return error;
  if (mix)
    outs() << mix->table();
  if (!flags.report.empty())
    if (Error error = writeFileAtomically(flags.report, mix->svg()))
      return error;
  double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
          .count();
  std::string quantized;
  if (const QuantizerChoice &choice = options->quantizer; choice.calibration)
    quantized = fmt::format(
        ", quantized by {} with {} tokens of {}",
        quantizerName(choice.kind).str(), choice.calibration->tokens,
        choice.calibration->text == "self" ? "its own"
                                           : choice.calibration->text);
  outs() << coverageSummary((*compilation)->quantizationJson());
  if (options->tuning)
    outs() << tuningSummary(*options->tuning);
  outs() << fmt::format("{}: package {} for {}{}, {:.1f} s\n", flags.output,
                        (*compilation)->name(), (*compilation)->targetNames(),
                        quantized, seconds);
  return 0;
}

} // namespace

void addCompile(CLI::App &app, Action &action) {
  auto flags = std::make_shared<Flags>();
  CLI::App *command =
      app.add_subcommand("compile", "compile a checkpoint to a package");
  command
      ->add_option(
          "checkpoint", flags->checkpoint,
          "directory with config.json and *.safetensors, or a GGUF file")
      ->required();
  command->add_option("-o,--output", flags->output,
                      "directory of the package; with --emit a file");
  addCompileFlags(*command, flags->compile);
  command->add_option("--name", flags->compile.name,
                      "name of library and symbols (made of the directory's)");
  command
      ->add_option("--emit", flags->emit,
                   "write a stage as text instead of a package: lfm2, kernel, "
                   "llvm, asm or halide-stmt")
      ->check(CLI::IsMember({"lfm2", "kernel", "llvm", "asm", "halide-stmt"}));
  CLI::Option *verify = command->add_flag(
      "--verify,!--no-verify", flags->verify,
      "run the package and put figures of its quality in NAME.json: against "
      "the reference executor and, quantized, the checkpoint (without the "
      "former for quantized models of up to 64 M parameters)");
  command->add_flag("--force", flags->force,
                    "replace the output directory whatever it contains");
  command
      ->add_option("--target-bytes", flags->budget.bytes,
                   "with --quant auto: bytes that the tensors may take")
      ->transform(CLI::AsSizeValue(/*kb_is_1000=*/true))
      ->check(CLI::PositiveNumber);
  command
      ->add_option("--max-kl", flags->budget.kl,
                   "with --quant auto: Top-K divergence (see lfmc eval) that "
                   "the package may have, in nats")
      ->check(CLI::PositiveNumber)
      ->excludes("--target-bytes");
  command->add_option("--report", flags->report,
                      "with --quant auto: SVG file for a plot of divergence "
                      "over bytes");
  command->callback([flags, verify, &action] {
    flags->choseVerify = verify->count();
    checkMix(*flags);
    action = [flags] { return compile(*flags); };
  });
}

} // namespace lfmc::cli
