// SPDX-License-Identifier: Apache-2.0
#include "tools/lfmc/Commands.h"
#include "tools/lfmc/CompileFlags.h"
#include "tools/lfmc/Goldens.h"
#include "tools/lfmc/Progress.h"
#include "tools/lfmc/Remote.h"

#include "frontend/Errors.h"

#include <cmath>
#include <cstdio>

using namespace llvm;

namespace lfmc::cli {
namespace {

struct Flags {
  CompileFlags compile;
  RunnerOptions runner;
  std::string path, goldens;
  std::vector<std::string> cases;
  double logits = 2e-4, consistency = 1e-4, gap = 1e-3;
  int threads = 0;
  bool json = false;
};

// The largest error of one kind over all cases.
struct Worst {
  double error = 0;
  std::string where;
  int64_t compared = 0;

  void add(double value, const std::string &place) {
    ++compared;
    // NaN must not pass for small.
    if (!(value <= error)) {
      error = value;
      where = place;
    }
  }
  bool within(double tolerance) const { return error <= tolerance; }
};

std::string at(const std::string &name, int64_t position) {
  return fmt::format("{}, position {}", name, position);
}

class Verifier {
public:
  Verifier(const Flags &flags, Stepper &session)
      : flags(flags), session(session), vocab(session.vocabSize()) {}

  Error verify(const GoldenCase &one);
  Json report() const;
  void print() const;
  bool passed() const {
    return golden.within(flags.logits) && decode.within(flags.consistency) &&
           chunks.within(flags.consistency) && nll.within(2 * flags.logits) &&
           wrongTokens == 0;
  }

private:
  Expected<std::vector<float>> prefill(const GoldenCase &one, size_t chunk);
  Expected<std::vector<float>> decodeAll(const GoldenCase &one);
  Error verifyGreedy(const GoldenCase &one);
  void compare(Worst &worst, const float *found, const float *wanted,
               int64_t rows, const std::string &name, int64_t first);
  void compareNll(const GoldenCase &one, const std::vector<float> &logits);

  const Flags &flags;
  Stepper &session;
  int64_t vocab;
  Worst golden, decode, chunks, nll;
  int64_t cases = 0, greedyTokens = 0, closeTokens = 0, wrongTokens = 0;
  std::string firstWrong;
};

void Verifier::compare(Worst &worst, const float *found, const float *wanted,
                       int64_t rows, const std::string &name, int64_t first) {
  for (int64_t row = 0; row < rows; ++row) {
    double error = 0;
    for (int64_t i = 0; i < vocab; ++i) {
      double difference =
          std::fabs(double(found[row * vocab + i]) - wanted[row * vocab + i]);
      if (!(difference <= error))
        error = difference;
    }
    worst.add(error, at(name, first + row));
  }
}

// Logits of all positions, the prompt read in calls of `chunk` tokens (0: one).
Expected<std::vector<float>> Verifier::prefill(const GoldenCase &one,
                                               size_t chunk) {
  size_t n = one.tokens.size();
  if (!chunk)
    chunk = n;
  std::vector<float> logits(n * vocab);
  if (Error error = session.reset())
    return error;
  for (size_t begin = 0; begin < n; begin += chunk) {
    ArrayRef<int32_t> tokens(one.tokens.data() + begin,
                             std::min(chunk, n - begin));
    if (Error error = session.logits(tokens, logits.data() + begin * vocab))
      return error;
  }
  return logits;
}

Expected<std::vector<float>> Verifier::decodeAll(const GoldenCase &one) {
  std::vector<float> logits(one.tokens.size() * vocab);
  if (Error error = session.reset())
    return error;
  for (size_t i = 0; i < one.tokens.size(); ++i)
    if (Error error = session.decode(one.tokens[i], logits.data() + i * vocab))
      return error;
  return logits;
}

// The golden token is fed back whatever we would choose, so that one close call
// does not spoil the rest.
Error Verifier::verifyGreedy(const GoldenCase &one) {
  std::vector<float> logits(vocab);
  if (Error error = session.reset())
    return error;
  Error error = session.prefill(one.tokens, logits.data());
  for (size_t i = 0; i < one.greedy.size() && !error; ++i) {
    int64_t best = 0;
    for (int64_t token = 1; token < vocab; ++token)
      if (logits[token] > logits[best])
        best = token;
    float second = -INFINITY;
    for (int64_t token = 0; token < vocab; ++token)
      if (token != best)
        second = std::max(second, logits[token]);
    ++greedyTokens;
    if (best != one.greedy[i]) {
      if (double(logits[best]) - second <= flags.gap) {
        ++closeTokens;
      } else {
        if (wrongTokens++ == 0)
          firstWrong = fmt::format("{}, token {}: expected {}, found {}",
                                   one.name, i, one.greedy[i], best);
      }
    }
    error = session.decode(one.greedy[i], logits.data());
  }
  return error;
}

void Verifier::compareNll(const GoldenCase &one,
                          const std::vector<float> &logits) {
  for (size_t i = 0; i < one.nll.size(); ++i) {
    const float *row = logits.data() + i * vocab;
    double largest = *std::max_element(row, row + vocab), sum = 0;
    for (int64_t token = 0; token < vocab; ++token)
      sum += std::exp(row[token] - largest);
    double found = largest + std::log(sum) - row[one.tokens[i + 1]];
    nll.add(std::fabs(found - one.nll[i]), at(one.name, int64_t(i)));
  }
}

Error Verifier::verify(const GoldenCase &one) {
  int64_t n = int64_t(one.tokens.size()), need = n + int64_t(one.greedy.size());
  if (need > session.maxContext())
    return makeError(
        "golden {} needs {} positions, the package has {}: compile "
        "it with --max-context {}",
        one.name, need, session.maxContext(), need);
  for (int32_t token : one.tokens)
    if (token < 0 || token >= vocab)
      return makeError("golden {}: token {} is outside the vocabulary of {}",
                       one.name, token, vocab);
  ++cases;
  Expected<std::vector<float>> whole = prefill(one, 0);
  if (!whole)
    return whole.takeError();
  Expected<std::vector<float>> single = decodeAll(one);
  if (!single)
    return single.takeError();
  compare(decode, single->data(), whole->data(), n, one.name, 0);
  for (size_t chunk : {1, 3, 7}) {
    Expected<std::vector<float>> pieces = prefill(one, chunk);
    if (!pieces)
      return pieces.takeError();
    compare(chunks, pieces->data(), whole->data(), n,
            fmt::format("{} in chunks of {}", one.name, chunk), 0);
  }
  for (const GoldenLogits &logits : one.logits) {
    const std::vector<float> &found = logits.decode ? *single : *whole;
    compare(golden, found.data() + logits.firstPosition * vocab,
            logits.values.data(), int64_t(logits.values.size()) / vocab,
            logits.tensor, logits.firstPosition);
  }
  compareNll(one, *whole);
  return verifyGreedy(one);
}

Json Verifier::report() const {
  auto worst = [](const Worst &value, double tolerance) -> Json {
    return {{"max_abs_error", value.error},
            {"where", value.where},
            {"compared", value.compared},
            {"tolerance", tolerance},
            {"passed", value.within(tolerance)}};
  };
  return {{"passed", passed()},
          {"cases", cases},
          {"logits", worst(golden, flags.logits)},
          {"decode_minus_prefill", worst(decode, flags.consistency)},
          {"chunked_minus_whole", worst(chunks, flags.consistency)},
          {"nll", worst(nll, 2 * flags.logits)},
          {"greedy",
           {{"tokens", greedyTokens},
            {"wrong", wrongTokens},
            {"close", closeTokens},
            {"first_wrong", firstWrong}}}};
}

void Verifier::print() const {
  auto line = [](const char *name, const Worst &worst, double tolerance) {
    if (worst.compared)
      std::puts(fmt::format("{:<22} {:.3g} of {:.1g} allowed, at {}{}", name,
                            worst.error, tolerance, worst.where,
                            worst.within(tolerance) ? "" : "  FAILED")
                    .c_str());
  };
  line("logits - golden", golden, flags.logits);
  line("decode - prefill", decode, flags.consistency);
  line("chunked - whole", chunks, flags.consistency);
  line("nll - golden", nll, 2 * flags.logits);
  if (greedyTokens)
    std::puts(
        fmt::format("{:<22} {} of {} tokens{}{}", "greedy",
                    greedyTokens - wrongTokens - closeTokens, greedyTokens,
                    closeTokens
                        ? fmt::format(", {} too close to call", closeTokens)
                        : "",
                    wrongTokens ? "  FAILED: " + firstWrong : "")
            .c_str());
  std::puts(fmt::format("{} cases: {}", cases, passed() ? "passed" : "FAILED")
                .c_str());
}

Expected<int> verifySession(const Flags &flags, Stepper &session) {
  Expected<std::vector<GoldenCase>> cases =
      readGoldens(flags.goldens, session.vocabSize());
  if (!cases)
    return cases.takeError();
  for (const std::string &name : flags.cases)
    if (llvm::none_of(*cases,
                      [&](const GoldenCase &c) { return c.name == name; }))
      return makeError("{} has no case {}", flags.goldens, inQuotes(name));
  if (!flags.cases.empty())
    llvm::erase_if(*cases, [&](const GoldenCase &c) {
      return !llvm::is_contained(flags.cases, c.name);
    });
  Verifier verifier(flags, session);
  {
    Progress progress;
    for (size_t i = 0; i < cases->size(); ++i) {
      progress.update("cases", i, cases->size());
      if (Error error = verifier.verify((*cases)[i]))
        return error;
    }
  }
  if (flags.json)
    std::puts(verifier.report().dump(2).c_str());
  else
    verifier.print();
  return verifier.passed() ? 0 : 1;
}

Expected<int> verifyPackage(const Flags &flags) {
  Expected<std::string> package = packageOf(flags.path, flags.compile);
  if (!package)
    return package.takeError();
  if (!flags.runner.command.empty()) {
    if (!levelOf(flags.path, flags.compile).empty())
      return makeError("--isa: not with --runner, whose processor chooses");
    RunnerOptions runner = flags.runner;
    runner.threads = std::max(flags.threads, 1);
    Expected<std::unique_ptr<Remote>> remote = Remote::start(*package, runner);
    if (!remote)
      return remote.takeError();
    return verifySession(flags, **remote);
  }
  Expected<Model> model =
      openModel(*package, 0, {}, levelOf(flags.path, flags.compile));
  if (!model)
    return model.takeError();
  Expected<Session> session = createSession(*model, flags.threads);
  if (!session)
    return session.takeError();
  LocalStepper local(*model, *session);
  return verifySession(flags, local);
}

} // namespace

void addVerify(CLI::App &app, Action &action) {
  auto flags = std::make_shared<Flags>();
  CLI::App *command = app.add_subcommand(
      "verify", "compare a package with golden values of the reference");
  command->add_option("model", flags->path, "package or checkpoint")
      ->required();
  command->add_option("goldens", flags->goldens, "golden values, safetensors")
      ->required();
  command
      ->add_option("--tolerance", flags->logits,
                   "largest error of a logit (2e-4)")
      ->check(CLI::NonNegativeNumber);
  command
      ->add_option("--consistency", flags->consistency,
                   "largest difference between ways to read a prompt (1e-4)")
      ->check(CLI::NonNegativeNumber);
  command
      ->add_option("--gap", flags->gap,
                   "greedy tokens may differ where our two best logits are "
                   "closer (1e-3)")
      ->check(CLI::NonNegativeNumber);
  command
      ->add_option("--threads", flags->threads,
                   "threads (all processors; 1 with --runner)")
      ->check(CLI::Range(1, 256));
  command
      ->add_option("--case", flags->cases,
                   "only these of the golden cases (all)")
      ->delimiter(',')
      ->allow_extra_args(false);
  addRunnerFlags(*command, flags->runner);
  command->add_flag("--json", flags->json, "machine-readable");
  addCompileFlags(*command, flags->compile);
  command->callback(
      [flags, &action] { action = [flags] { return verifyPackage(*flags); }; });
}

} // namespace lfmc::cli
