/* SPDX-License-Identifier: Apache-2.0
 *
 * An application in plain C99 that uses every part of the runtime, so that the
 * linker takes every object of the archive. */
#include "lfm/lfm.h"
#include "lfm/program.h"

#include <stdio.h>
#include <string.h>

static void decode(const lfm_args *a, lfm_sync *sync, int32_t thread) {
  int i;
  if (thread == 0)
    for (i = 0; i < 4; ++i)
      a->output[i] = (float)((*(const int32_t *)a->input + i) % 4);
  sync->barrier(sync, 0);
}

static void prefill(const lfm_args *a, lfm_sync *sync, int32_t thread) {
  int i;
  if (thread == 0)
    for (i = 0; i < a->n; ++i)
      a->output[i * 16] = (float)((const int32_t *)a->input)[i];
  sync->barrier(sync, 0);
}

static void head(const lfm_args *a, lfm_sync *sync, int32_t thread) {
  int i, row;
  if (thread == 0)
    for (row = 0; row < a->n; ++row)
      for (i = 0; i < 4; ++i)
        a->output[row * 4 + i] =
            (float)(((int)((const float *)a->input)[row * 16] + i) % 4);
  sync->barrier(sync, 0);
}

int main(int argc, char **argv) {
  static lfm_weights_header header = {LFM_WEIGHTS_MAGIC, {1}, sizeof header};
  lfm_program program;
  lfm_model *model = NULL;
  lfm_session *session = NULL;
  lfm_generate_params params;
  lfm_generate_result result;
  char path[4096], message[256] = "";
  int32_t prompt[] = {1, 2, 3};
  size_t count = 0;
  FILE *file;

  memset(&program, 0, sizeof program);
  program.abi = LFM_PROGRAM_ABI;
  program.bytes = sizeof program;
  program.name = "plain";
  program.vocab_size = 4;
  program.hidden_size = 16;
  program.max_context = 32;
  program.max_prefill = 2;
  program.weights_id[0] = 1;
  program.weights_bytes = sizeof header;
  program.decode = decode;
  program.prefill = prefill;
  program.head = head;

  snprintf(path, sizeof path, "%s/plain.weights", argc > 1 ? argv[1] : ".");
  file = fopen(path, "wb");
  if (!file || fwrite(&header, sizeof header, 1, file) != 1 || fclose(file))
    return 1;
  if (lfm_model_open(&program, path, NULL, &model, message, sizeof message) ||
      lfm_session_create(model, NULL, &session, message, sizeof message)) {
    fprintf(stderr, "%s\n", message);
    return 2;
  }
  lfm_generate_params_default(&params);
  params.max_tokens = 5;
  /* The largest logit is that of (3 - last) modulo 4. */
  if (lfm_generate(session, prompt, 3, &params, NULL, NULL, &result) ||
      result.reason != LFM_STOP_MAX_TOKENS || result.tokens != 5 ||
      lfm_session_position(session) != 7)
    return 3;
  if (lfm_tokenize(lfm_model_tokenizer(model), "x", 1, 0, NULL, 0, &count) !=
          LFM_ERROR_INVALID_ARGUMENT ||
      lfm_chat_format(NULL, NULL, 0, NULL, NULL, 0, &count) !=
          LFM_ERROR_INVALID_ARGUMENT ||
      lfm_detokenize(NULL, NULL, 0, 0, NULL, 0, &count) !=
          LFM_ERROR_INVALID_ARGUMENT ||
      lfm_session_snapshot_size(session) == 0)
    return 4;
  lfm_session_destroy(session);
  lfm_model_close(model);
  remove(path);
  return 0;
}
