/* SPDX-License-Identifier: Apache-2.0
 *
 * A conversation with a compiled model: a line in, an answer streamed out.
 *
 * The session keeps what was said, so each turn costs only its own tokens.
 * Ctrl-C stops an answer, the end of the input stops the program.
 */
#include MODEL_HEADER

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static lfm_session *session;

static void stopAnswer(int signal) {
  (void)signal;
  lfm_session_cancel(session);
}

static int print(void *user, int32_t token, const char *text, size_t bytes) {
  (void)user;
  (void)token;
  fwrite(text, 1, bytes, stdout);
  return fflush(stdout) != 0;
}

static void fail(const char *message) {
  fprintf(stderr, "chat: %s\n", message);
  exit(1);
}

static void check(lfm_status status) {
  if (status != LFM_OK)
    fail(lfm_status_string(status));
}

/* Stores the tokens of one user turn and returns their number. Behind an answer
 * the session lacks what ends it: the last token chosen, "<|im_end|>" if the
 * answer was cut short, and a line feed. */
static size_t readTurn(const lfm_tokenizer *tokenizer, const char *line,
                       const lfm_generate_result *last, int32_t *tokens,
                       size_t capacity) {
  lfm_chat_message turn = {"user", line};
  lfm_chat_options options = {.flags = LFM_CHAT_GENERATE};
  size_t used = 0, count = 0;
  if (last) {
    options.flags |= LFM_CHAT_NO_BOS;
    if (last->pending >= 0)
      tokens[used++] = last->pending;
    if (last->reason != LFM_STOP_EOS)
      tokens[used++] = lfm_token_find(tokenizer, "<|im_end|>", 10);
    check(lfm_tokenize(tokenizer, "\n", 1, 0, tokens + used, capacity - used,
                       &count));
    used += count;
  }
  check(lfm_chat_tokenize(tokenizer, &turn, 1, &options, tokens + used,
                          capacity - used, &count));
  return used + count;
}

int main(int argc, char **argv) {
  enum { LINE = 4096 };
  char message[256] = "", line[LINE];
  int32_t tokens[LINE + 64];
  lfm_model *model;
  lfm_generate_params params;
  lfm_generate_result result;
  int isFirst = 1;

  if (MODEL_OPEN(argc > 1 ? argv[1] : MODEL_WEIGHTS, &model, message,
                 sizeof message) != LFM_OK ||
      lfm_session_create(model, NULL, &session, message, sizeof message) !=
          LFM_OK)
    fail(message);
  const lfm_tokenizer *tokenizer = lfm_model_tokenizer(model);
  if (!tokenizer)
    fail("the model was compiled without a tokenizer");
  lfm_generate_params_default(&params);
  params.max_tokens = 512;
  signal(SIGINT, stopAnswer);

  while (fgets(line, sizeof line, stdin)) {
    line[strcspn(line, "\n")] = '\0';
    size_t count = readTurn(tokenizer, line, isFirst ? NULL : &result, tokens,
                            sizeof tokens / sizeof tokens[0]);
    lfm_status status = lfm_generate(session, tokens, count, &params, print,
                                     NULL, &result);
    putchar('\n');
    if (status != LFM_OK)
      fail(lfm_session_message(session));
    isFirst = 0;
    if (result.reason == LFM_STOP_CONTEXT)
      break;
  }
  lfm_session_destroy(session);
  lfm_model_close(model);
  return 0;
}
