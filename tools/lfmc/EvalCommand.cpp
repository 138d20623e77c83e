// SPDX-License-Identifier: Apache-2.0
//
// Perplexity: the text's tokens in consecutive runs, each fed behind the token
// that begins a text; the mean over all runs of the negative log-likelihood of
// every token of the run.
#include "tools/lfmc/Commands.h"
#include "tools/lfmc/CompileFlags.h"
#include "tools/lfmc/Loader.h"
#include "tools/lfmc/Progress.h"

#include "frontend/Errors.h"

#include "llvm/Support/MemoryBuffer.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

using namespace llvm;

namespace lfmc::cli {
namespace {

struct Flags {
  CompileFlags compile;
  std::string path, text;
  int64_t runs = 0, length = 511;
  int threads = 0;
  bool json = false;
};

// Of tokens[1..], in nats; `logits` is room for their rows.
Expected<double> negativeLogLikelihood(const Session &session,
                                       const std::vector<int32_t> &tokens,
                                       int64_t vocab,
                                       std::vector<float> &logits) {
  lfm_session_reset(session.get());
  size_t n = tokens.size() - 1;
  logits.resize(n * vocab);
  if (Error error = session.check(
          lfm_session_logits(session.get(), tokens.data(), n, logits.data())))
    return error;
  double total = 0;
  for (size_t i = 0; i < n; ++i) {
    const float *row = logits.data() + i * vocab;
    double largest = *std::max_element(row, row + vocab), sum = 0;
    for (int64_t token = 0; token < vocab; ++token)
      sum += std::exp(row[token] - largest);
    total += largest + std::log(sum) - row[tokens[i + 1]];
  }
  return total;
}

Expected<int> evaluate(const Flags &flags) {
  Expected<std::string> package = packageOf(flags.path, flags.compile);
  if (!package)
    return package.takeError();
  Expected<Model> model = openModel(*package);
  if (!model)
    return model.takeError();
  auto text = MemoryBuffer::getFile(flags.text);
  if (!text)
    return makeError("cannot read {}: {}", flags.text,
                     text.getError().message());
  Expected<std::vector<int32_t>> ids = model->tokenize((*text)->getBuffer(), 0);
  if (!ids)
    return ids.takeError();
  if (model->info.bos < 0)
    return makeError("the model has no token that begins a text (bos)");
  if (flags.length + 1 > model->info.max_context)
    return makeError("runs of {} tokens need {} positions, the package has {}",
                     flags.length, flags.length + 1, model->info.max_context);
  int64_t available = int64_t(ids->size()) / flags.length;
  int64_t runs = flags.runs ? std::min(flags.runs, available) : available;
  if (runs == 0)
    return makeError("{} has {} tokens, too few for a run of {}", flags.text,
                     ids->size(), flags.length);
  Expected<Session> session = createSession(*model, flags.threads);
  if (!session)
    return session.takeError();
  double total = 0;
  {
    Progress progress;
    std::vector<float> logits;
    for (int64_t run = 0; run < runs; ++run) {
      progress.update("runs", run, runs);
      std::vector<int32_t> tokens = {model->info.bos};
      auto begin = ids->begin() + run * flags.length;
      tokens.insert(tokens.end(), begin, begin + flags.length);
      Expected<double> nll = negativeLogLikelihood(
          *session, tokens, model->info.vocab_size, logits);
      if (!nll)
        return nll.takeError();
      total += *nll;
    }
  }
  int64_t scored = runs * flags.length;
  double mean = total / double(scored);
  if (flags.json) {
    Json json = {{"perplexity", std::exp(mean)},
                 {"nll", mean},
                 {"tokens", scored},
                 {"runs", runs},
                 {"run_length", flags.length}};
    std::puts(json.dump(2).c_str());
  } else {
    std::puts(
        fmt::format("perplexity {:.4f} ({:.6f} nats a token) over {} runs "
                    "of {} tokens",
                    std::exp(mean), mean, runs, flags.length)
            .c_str());
  }
  return 0;
}

} // namespace

void addEval(CLI::App &app, Action &action) {
  auto flags = std::make_shared<Flags>();
  CLI::App *command =
      app.add_subcommand("eval", "perplexity of a text")->alias("perplexity");
  command->add_option("model", flags->path, "package or checkpoint")
      ->required();
  command->add_option("--text", flags->text, "UTF-8 text")->required();
  command->add_option("--runs", flags->runs, "only the first runs (all)")
      ->check(CLI::PositiveNumber);
  command->add_option("--length", flags->length, "tokens of a run (511)")
      ->check(CLI::PositiveNumber);
  command->add_option("--threads", flags->threads, "threads (all processors)")
      ->check(CLI::Range(1, 256));
  command->add_flag("--json", flags->json, "machine-readable");
  addCompileFlags(*command, flags->compile);
  command->callback(
      [flags, &action] { action = [flags] { return evaluate(*flags); }; });
}

} // namespace lfmc::cli
