// SPDX-License-Identifier: Apache-2.0
#include "tools/lfmc/Commands.h"
#include "tools/lfmc/CompileFlags.h"
#include "tools/lfmc/Evaluation.h"

#include "frontend/Errors.h"

#include "llvm/Support/MemoryBuffer.h"

#include <cmath>
#include <cstdio>

using namespace llvm;

namespace lfmc::cli {
namespace {

struct Flags {
  CompileFlags compile;
  std::string path, text, reference;
  EvaluationOptions options;
  uint32_t expertMib = 0;
  bool json = false;
};

void print(const Evaluation &result, const Flags &flags,
           const Model *reference) {
  auto put = [](const std::string &line) { std::puts(line.c_str()); };
  put(fmt::format("perplexity {:.4f} ({:.6f} nats a token) over {} runs of {} "
                  "tokens",
                  std::exp(result.nll), result.nll, result.runs,
                  flags.options.length));
  if (!reference)
    return;
  const DivergenceStatistics &d = result.divergence;
  put(fmt::format("reference  {:.4f} ({})", std::exp(result.referenceNll),
                  reference->info.name));
  put(fmt::format("KLD        {:.5g} +- {:.5g} nats; 50 % {:.5g}, 90 % {:.5g}, "
                  "95 % {:.5g}, 99 % {:.5g}, max {:.5g}",
                  d.kldMean(), d.kldStandardError(), d.kldPercentile(50),
                  d.kldPercentile(90), d.kldPercentile(95), d.kldPercentile(99),
                  d.kldPercentile(100)));
  put(fmt::format("Top-{} KL  {:.5g} nats at temperature {}",
                  flags.options.topK.count, d.topKMean(),
                  flags.options.topK.temperature));
  put(fmt::format("same top   {:.3f} %", 100 * d.sameTopShare()));
}

Expected<int> evaluate(const Flags &flags) {
  auto open = [](const std::string &path, const CompileFlags &compile,
                 uint32_t expertMib) -> Expected<Model> {
    Expected<std::string> package = packageOf(path, compile);
    if (!package)
      return package.takeError();
    return openModel(*package, 0, {}, levelOf(path, compile), expertMib);
  };
  auto text = MemoryBuffer::getFile(flags.text);
  if (!text)
    return makeError("cannot read {}: {}", flags.text,
                     text.getError().message());
  Expected<Model> model = open(flags.path, flags.compile, flags.expertMib);
  if (!model)
    return model.takeError();
  std::optional<Model> reference;
  if (!flags.reference.empty()) {
    // A reference's weights are what its checkpoint holds.
    CompileFlags compile = flags.compile;
    compile.weights.clear();
    compile.quant.clear();
    compile.isa.clear();
    Expected<Model> opened = open(flags.reference, compile, 0);
    if (!opened)
      return opened.takeError();
    reference = std::move(*opened);
  }
  const Model *other = reference ? &*reference : nullptr;
  Expected<Evaluation> result = evaluateText(
      *model, other, (*text)->getBuffer(), flags.text, flags.options);
  if (!result)
    return result.takeError();
  if (flags.json) {
    Json json = result->json(other);
    json["run_length"] = flags.options.length;
    std::puts(json.dump(2).c_str());
  } else {
    print(*result, flags, other);
  }
  return 0;
}

} // namespace

void addEval(CLI::App &app, Action &action) {
  auto flags = std::make_shared<Flags>();
  CLI::App *command =
      app.add_subcommand("eval", "perplexity of a text, and divergence from a "
                                 "reference")
          ->alias("perplexity");
  command->add_option("model", flags->path, "package or checkpoint")
      ->required();
  command->add_option("--text", flags->text, "UTF-8 text")->required();
  command->add_option("--reference", flags->reference,
                      "package or checkpoint to compare with");
  EvaluationOptions &options = flags->options;
  command->add_option("--runs", options.runs, "only the first runs (all)")
      ->check(CLI::PositiveNumber);
  command->add_option("--length", options.length, "tokens of a run (511)")
      ->check(CLI::PositiveNumber);
  command
      ->add_option("--top-k", options.topK.count,
                   "tokens of the Top-K divergence (32)")
      ->check(CLI::PositiveNumber);
  command
      ->add_option("--temperature", options.topK.temperature,
                   "temperature of the Top-K divergence (2)")
      ->check(CLI::Range(0.01, 100.0));
  command->add_option("--threads", options.threads, "threads (all processors)")
      ->check(CLI::Range(1, 256));
  addExpertMib(*command, flags->expertMib);
  command->add_flag("--json", flags->json, "machine-readable");
  addCompileFlags(*command, flags->compile);
  command->callback(
      [flags, &action] { action = [flags] { return evaluate(*flags); }; });
}

} // namespace lfmc::cli
