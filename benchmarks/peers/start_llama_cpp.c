/* SPDX-License-Identifier: Apache-2.0
 *
 * start_lfmc.c with llama.cpp. usage: start MODEL.gguf THREADS CONTEXT TOKEN */
#include "llama.h"

#include <stdio.h>
#include <stdlib.h>

static void quiet(enum ggml_log_level level, const char *text, void *user) {
  (void)level, (void)text, (void)user;
}

int main(int argc, char **argv) {
  if (argc != 5)
    return 2;
  llama_log_set(quiet, NULL);
  llama_backend_init();
  struct llama_model *model =
      llama_model_load_from_file(argv[1], llama_model_default_params());
  if (!model) {
    fprintf(stderr, "cannot load %s\n", argv[1]);
    return 1;
  }
  struct llama_context_params params = llama_context_default_params();
  params.n_ctx = atoi(argv[3]);
  params.n_threads = params.n_threads_batch = atoi(argv[2]);
  struct llama_context *context = llama_init_from_model(model, params);
  llama_token token = atoi(argv[4]);
  if (!context || llama_decode(context, llama_batch_get_one(&token, 1)) != 0) {
    fprintf(stderr, "cannot read a token with %s\n", argv[1]);
    return 1;
  }
  const float *logits = llama_get_logits_ith(context, -1);
  int count = llama_vocab_n_tokens(llama_model_get_vocab(model)), best = 0;
  for (int i = 1; i < count; ++i)
    if (logits[i] > logits[best])
      best = i;
  printf("%d\n", best);
  return 0;
}
