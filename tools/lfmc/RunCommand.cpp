// SPDX-License-Identifier: Apache-2.0
#include "frontend/Errors.h"
#include "tools/lfmc/Chat.h"
#include "tools/lfmc/Commands.h"
#include "tools/lfmc/CompileFlags.h"
#include "tools/lfmc/Loader.h"

#include <csignal>
#include <iostream>
#include <unistd.h>

using namespace llvm;

namespace lfmc::cli {
namespace {

struct Flags {
  CompileFlags compile;
  std::string path, prompt, system;
  bool chat = false, hasPrompt = false;
  int tokens = 0, threads = 0;
  uint32_t expertMib = 0;
  float temperature = -1, topP = -1, minP = -1, repeatPenalty = -1;
  int topK = -1;
  uint64_t seed = 0;
};

lfm_session *answering = nullptr;

// Ctrl-C stops the answer; without one it interrupts the input line.
void onInterrupt(int) {
  if (answering)
    lfm_session_cancel(answering);
}

int printText(void *, int32_t, const char *text, size_t bytes) {
  std::fwrite(text, 1, bytes, stdout);
  // A closed pipe ends the answer.
  return std::fflush(stdout) != 0;
}

class Runner {
public:
  Runner(const Flags &flags, const Model &model, const Session &session)
      : flags(flags), model(model), session(session),
        chat(model.tokenizer(), flags.system) {
    lfm_generate_params_default(&params);
    params.sampling = {flags.temperature, flags.topK,          flags.topP,
                       flags.minP,        flags.repeatPenalty, flags.seed};
    params.max_tokens = flags.tokens;
  }

  Error answer(const std::string &prompt);
  Error converse();
  void printSpeed() const;

private:
  const Flags &flags;
  const Model &model;
  const Session &session;
  Chat chat;
  lfm_generate_params params;
  int64_t promptTokens = 0, answerTokens = 0;
  double promptSeconds = 0, answerSeconds = 0;
};

Error Runner::answer(const std::string &prompt) {
  Expected<std::vector<int32_t>> tokens =
      flags.chat ? chat.turn(prompt)
                 : model.tokenize(prompt, LFM_TOKENIZE_ADD_SPECIAL |
                                              LFM_TOKENIZE_PARSE_SPECIAL);
  if (!tokens)
    return tokens.takeError();
  if (tokens->empty())
    return makeError("the prompt is empty");
  lfm_generate_result result = {};
  answering = session.get();
  lfm_status status =
      lfm_generate(session.get(), tokens->data(), tokens->size(), &params,
                   printText, nullptr, &result);
  answering = nullptr;
  std::fputs("\n", stdout);
  std::fflush(stdout);
  promptTokens += int64_t(tokens->size());
  promptSeconds += result.prompt_seconds;
  answerTokens += result.tokens;
  answerSeconds += result.decode_seconds;
  chat.answered(result);
  if (status != LFM_OK && status != LFM_ERROR_CANCELLED)
    return session.check(status);
  if (result.reason == LFM_STOP_CONTEXT)
    warn(fmt::format("the context of {} tokens is full",
                     model.info.max_context));
  return Error::success();
}

Error Runner::converse() {
  bool terminal = isatty(STDIN_FILENO);
  for (;;) {
    if (terminal)
      std::fputs("> ", stderr);
    std::string line;
    if (!std::getline(std::cin, line)) {
      bool interrupted = !std::cin.eof();
      std::cin.clear();
      std::clearerr(stdin);
      if (!interrupted)
        break;
      std::fputs("\n(Ctrl-D leaves)\n", stderr);
      continue;
    }
    if (line.empty())
      continue;
    if (!flags.chat)
      lfm_session_reset(session.get());
    if (Error error = answer(line))
      return error;
  }
  if (terminal)
    std::fputs("\n", stderr);
  return Error::success();
}

void Runner::printSpeed() const {
  auto speed = [](int64_t tokens, double seconds) {
    return seconds > 0 ? double(tokens) / seconds : 0;
  };
  std::fputs(
      fmt::format("prompt: {} tokens, {:.1f} tok/s; answer: {} tokens, {:.1f} "
                  "tok/s; {} threads\n",
                  promptTokens, speed(promptTokens, promptSeconds),
                  answerTokens, speed(answerTokens, answerSeconds),
                  lfm_session_threads(session.get()))
          .c_str(),
      stderr);
}

Expected<int> runModel(const Flags &flags) {
  Expected<std::string> package = packageOf(flags.path, flags.compile);
  if (!package)
    return package.takeError();
  Expected<Model> model =
      openModel(*package, LFM_MODEL_PREFETCH, {}, {}, flags.expertMib);
  if (!model)
    return model.takeError();
  if (!model->tokenizer())
    return makeError("{} has no tokenizer: text needs one", flags.path);
  Expected<Session> session = createSession(*model, flags.threads);
  if (!session)
    return session.takeError();
  struct sigaction handler = {};
  handler.sa_handler = onInterrupt; // no SA_RESTART: it ends a pending read
  sigaction(SIGINT, &handler, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  Runner runner(flags, *model, *session);
  Error error = Error::success();
  if (flags.hasPrompt) {
    error = runner.answer(flags.prompt);
  } else if (flags.chat || isatty(STDIN_FILENO)) {
    error = runner.converse();
  } else {
    std::string text(std::istreambuf_iterator<char>(std::cin), {});
    error = runner.answer(text);
  }
  if (error)
    return error;
  runner.printSpeed();
  return 0;
}

} // namespace

void addRun(CLI::App &app, Action &action) {
  auto flags = std::make_shared<Flags>();
  CLI::App *command =
      app.add_subcommand("run", "write text; interactive without --prompt");
  command->add_option("model", flags->path, "package or checkpoint")
      ->required();
  CLI::Option *prompt = command->add_option(
      "-p,--prompt", flags->prompt, "text to continue, or message to answer");
  command->add_flag("--chat", flags->chat, "converse by the chat template");
  command->add_option("--system", flags->system,
                      "with --chat: what the model is told first");
  command->add_option("-n,--tokens", flags->tokens, "longest answer (no limit)")
      ->check(CLI::PositiveNumber);
  command
      ->add_option("--temp", flags->temperature,
                   "temperature; 0: always the most likely token")
      ->check(CLI::NonNegativeNumber);
  command->add_option("--top-k", flags->topK, "0: off")
      ->check(CLI::NonNegativeNumber);
  command->add_option("--top-p", flags->topP, "1: off")
      ->check(CLI::Range(0., 1.));
  command->add_option("--min-p", flags->minP, "0: off")
      ->check(CLI::Range(0., 1.));
  command->add_option("--repeat-penalty", flags->repeatPenalty, "1: off")
      ->check(CLI::PositiveNumber);
  command->add_option("--seed", flags->seed, "seed of the choices (0)");
  command->add_option("--threads", flags->threads, "threads (all processors)")
      ->check(CLI::Range(1, 256));
  addExpertMib(*command, flags->expertMib);
  addCompileFlags(*command, flags->compile);
  command->callback([flags, prompt, &action] {
    flags->hasPrompt = prompt->count() > 0;
    action = [flags] { return runModel(*flags); };
  });
}

} // namespace lfmc::cli
