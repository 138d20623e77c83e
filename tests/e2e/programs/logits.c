/* SPDX-License-Identifier: Apache-2.0
 *
 * What runtime/hexagon/Runner.c does, with a package for this machine called
 * `cpu`: logits cpu.weights TOKENS LOGITS COUNT, token by token.
 */
#include "cpu.h"

#include <stdio.h>
#include <stdlib.h>

static void check(int fine, const char *what) {
  if (!fine) {
    fprintf(stderr, "error: %s\n", what);
    exit(1);
  }
}

int main(int argc, char **argv) {
  char message[256] = "";
  lfm_model *model;
  lfm_session *session;
  lfm_model_info info;
  check(argc == 5, "expected four arguments");
  check(cpu_open(argv[1], &model, message, sizeof message) == LFM_OK, message);
  check(lfm_session_create(model, NULL, &session, message, sizeof message) ==
            LFM_OK,
        message);
  check(lfm_model_get_info(model, &info) == LFM_OK, "info");
  const size_t vocab = (size_t)info.vocab_size;
  float *logits = malloc(vocab * sizeof *logits);
  FILE *in = fopen(argv[2], "rb"), *out = fopen(argv[3], "wb");
  check(logits && in && out, "cannot open the files");
  int32_t id;
  int more = atoi(argv[4]);
  for (int given = 1;;) {
    given = given && fread(&id, sizeof id, 1, in) == 1;
    if (!given) {
      if (more-- == 0)
        break;
      id = 0;
      for (size_t i = 1; i < vocab; ++i)
        if (logits[i] > logits[id])
          id = (int32_t)i;
      printf("%d\n", (int)id);
    }
    check(lfm_session_decode(session, id, logits) == LFM_OK, "decode");
    check(fwrite(logits, sizeof *logits, vocab, out) == vocab, "cannot write");
  }
  check(fclose(out) == 0, "cannot write");
  return 0;
}
