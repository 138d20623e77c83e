// SPDX-License-Identifier: Apache-2.0
#include "frontend/Synth.h"
#include "tools/lfmc/Commands.h"
#include "tools/lfmc/Progress.h"

#include "llvm/ADT/StringExtras.h"

#include <thread>

namespace lfmc::cli {

void addSynth(CLI::App &app, Action &action) {
  struct Flags {
    SynthOptions options;
    std::string directory, dtype = "bf16";
  };
  auto flags = std::make_shared<Flags>();
  CLI::App *command = app.add_subcommand(
      "synth", "write a random checkpoint at the shapes of a published model");
  command
      ->add_option("preset", flags->options.preset,
                   llvm::join(synthPresets(), ", "))
      ->required();
  command->add_option("-o,--output", flags->directory, "new directory")
      ->required();
  command->add_option("--seed", flags->options.seed, "seed (0)");
  command->add_option("--dtype", flags->dtype, "f32, bf16 (default) or f16")
      ->check(CLI::IsMember({"f32", "bf16", "f16"}));
  command->add_option("--layers", flags->options.layers,
                      "only the first N layers");
  command->add_option("--ffn", flags->options.ffn,
                      "width of the feed-forwards of dense layers");
  command->add_option("--experts", flags->options.experts,
                      "experts of a layer, for mixtures of experts");
  command->add_option("--experts-per-token", flags->options.expertsPerToken,
                      "of them that a token takes");
  command->callback([flags, &action] {
    action = [flags]() -> llvm::Expected<int> {
      SynthOptions &options = flags->options;
      options.dtype = flags->dtype == "f32"    ? DType::F32
                      : flags->dtype == "bf16" ? DType::BF16
                                               : DType::F16;
      options.threads = std::max(1u, std::thread::hardware_concurrency());
      Progress progress;
      llvm::Error error = synthesize(options, flags->directory,
                                     [&](uint64_t done, uint64_t total) {
                                       progress.update("weights", done, total);
                                     });
      if (error)
        return error;
      return 0;
    };
  });
}

} // namespace lfmc::cli
