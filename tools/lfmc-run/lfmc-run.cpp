// SPDX-License-Identifier: Apache-2.0
#include "tools/lfmc-run/Run.h"

#include "llvm/Support/raw_ostream.h"

#include <CLI/CLI.hpp>

int main(int argc, char **argv) {
  lfmc::RunOptions options;
  CLI::App app("Reference executor: runs lfm2 IR through its linalg expansion. "
               "Slow and exact.");
  app.add_option("input", options.input,
                 "a checkpoint directory, or a module (.mlir)")
      ->required();
  app.add_option("--checkpoint", options.checkpoint,
                 "directory with the weights of a module");
  app.add_option("--passes", options.passes,
                 "pass pipeline to run before, e.g. \"lfmc-graph\"");
  app.add_option("--weights", options.weights, "import weights as f32|bf16|f16")
      ->check(CLI::IsMember({"f32", "bf16", "f16"}));
  app.add_option("--max-context", options.maxContext,
                 "positions that the caches of an import hold")
      ->check(CLI::PositiveNumber);
  app.add_option("--kv-cache", options.kvCache, "format of K and V (f32)")
      ->check(CLI::IsMember({"f32", "f16", "q8"}));
  auto *tokens =
      app.add_option("--tokens", options.tokens, "ids: 1,5,7")->delimiter(',');
  app.add_option("--tokens-file", options.tokensFile,
                 "ids from FILE.safetensors:KEY")
      ->excludes(tokens);
  app.add_option("--function", options.function,
                 "prefill (then head), decode (token by token), or head (of "
                 "the rows of --hidden-file)")
      ->check(CLI::IsMember({"prefill", "decode", "head"}));
  app.add_option("--hidden-file", options.hiddenFile,
                 "rows from FILE.safetensors:KEY");
  app.add_option("--chunk", options.chunk, "tokens of one prefill step")
      ->check(CLI::PositiveNumber);
  app.add_option("--dump-hidden", options.dumpHidden,
                 "write hidden rows, layer by layer, and logits to this file");
  app.add_option("--check", options.check,
                 "compare with the golden values of this file");
  app.add_option("--tolerance", options.tolerance,
                 "largest absolute difference to golden values")
      ->capture_default_str();
  app.add_option("--max-tokens", options.maxTokens,
                 "leave out golden prompts that are longer");
  CLI11_PARSE(app, argc, argv);
  llvm::Expected<bool> passed = lfmc::runReference(options, llvm::outs());
  if (!passed) {
    llvm::errs() << "lfmc-run: error: " << llvm::toString(passed.takeError())
                 << "\n";
    return 1;
  }
  return *passed ? 0 : 1;
}
