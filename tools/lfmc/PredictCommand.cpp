// SPDX-License-Identifier: Apache-2.0
#include "tools/lfmc/CompileFlags.h"
#include "tools/lfmc/Predict.h"

#include "frontend/Errors.h"

#include <cstdio>

using namespace llvm;

namespace lfmc::cli {
namespace {

struct Flags {
  CompileFlags compile;
  std::string path, device;
  int64_t prompt = 1024, depth = 1024, cores = 0;
  bool json = false;
};

Expected<int> predict(const Flags &flags) {
  Expected<const Target *> device = findTarget(flags.device);
  if (!device)
    return device.takeError();
  Expected<Predictor> predictor = Predictor::create(**device);
  if (!predictor)
    return predictor.takeError();
  CompileFlags compile = flags.compile;
  compile.target = flags.device; // of a checkpoint
  Expected<std::string> package = packageOf(flags.path, compile);
  if (!package)
    return package.takeError();
  Expected<Json> manifest = readManifest(*package);
  if (!manifest)
    return manifest.takeError();
  std::string made = manifest->at("target").at("name");
  Expected<const Target *> target = findTarget(made);
  if (!target)
    return target.takeError();
  if (!(*target)->isArm64() ||
      ((*target)->cpuFeatures & ~(*device)->cpuFeatures))
    return makeError("the package is compiled for {}, which {} does not run",
                     made, flags.device);
  Expected<Prediction> result =
      predictor->predict(*manifest, flags.prompt, flags.depth, flags.cores);
  if (!result)
    return result.takeError();
  std::vector<std::string> assumptions = {
      "a model: nothing was measured on the device",
      fmt::format(
          "{:.0f} % of the interface's peak of {:.1f} GB/s for decoding",
          100 * bandwidthShare, predictor->bandwidth() / 1e9),
      "llvm-mca's cycles of the matrix loops, with hits in the first cache; "
      "attention, norms and barriers are left out",
      flags.cores
          ? fmt::format("the {} fastest cores at full clock", flags.cores)
          : "all cores at full clock, evenly loaded by work",
      "against rates published for llama.cpp, its loops put through the same "
      "formulas: 1.1 times too fast for decoding on a Galaxy S25 Ultra, 1.9 "
      "on a Raspberry Pi 5, 3.2 for a prompt on the Galaxy"};
  if (flags.json) {
    Json report = {
        {"device", flags.device},
        {"decode_tokens_per_second", result->decode},
        {"decode_bound", result->memoryBound ? "memory" : "arithmetic"},
        {"prefill_tokens_per_second", result->prefill},
        {"first_token_seconds", result->firstToken},
        {"prompt", flags.prompt},
        {"depth", flags.depth},
        {"decode_bytes", result->decodeBytes},
        {"memory_bytes", result->memory},
        {"loops", result->loops},
        {"assumptions", assumptions}};
    std::puts(report.dump(2).c_str());
    return 0;
  }
  std::puts(
      fmt::format("prefill      {:.0f} tok/s\ndecode       {:.0f} tok/s at "
                  "depth {}, bound by {}\nfirst token  {:.2f} s of a "
                  "prompt of {}\nmemory       {:.0f} MB",
                  result->prefill, result->decode, flags.depth,
                  result->memoryBound ? "memory" : "arithmetic",
                  result->firstToken, flags.prompt, result->memory / 1e6)
          .c_str());
  for (const std::string &line : result->loops)
    std::puts(("  " + line).c_str());
  std::puts("assumed:");
  for (const std::string &line : assumptions)
    std::puts(("  " + line).c_str());
  return 0;
}

} // namespace

void addPredict(CLI::App &app, Action &action) {
  auto flags = std::make_shared<Flags>();
  CLI::App *command = app.add_subcommand(
      "predict", "a model of a package's speed on a device that is not here");
  command->add_option("model", flags->path, "package or checkpoint")
      ->required();
  command
      ->add_option("--device", flags->device,
                   "a target whose cores are known (lfmc targets), or a device "
                   "file")
      ->required();
  command->add_option("--prompt", flags->prompt, "tokens of a prompt (1024)")
      ->check(CLI::Range(1, 1 << 24));
  command->add_option("--depth", flags->depth, "positions filled (1024)")
      ->check(CLI::Range(0, 1 << 24));
  command->add_option("--cores", flags->cores, "only the fastest cores (all)")
      ->check(CLI::Range(1, 256));
  command->add_flag("--json", flags->json, "machine-readable");
  addCompileFlags(*command, flags->compile);
  command->callback(
      [flags, &action] { action = [flags] { return predict(*flags); }; });
}

} // namespace lfmc::cli
