/* SPDX-License-Identifier: Apache-2.0
 *
 * What runtime/hexagon/Runner.c does, with a package for this machine called
 * `cpu`: logits cpu.weights TOKENS LOGITS COUNT [FIRST], token by token; the
 * FIRST ones together, of which the last one's logits are written.
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
  check(argc == 5 || argc == 6, "expected four or five arguments");
  check(cpu_open(argv[1], &model, message, sizeof message) == LFM_OK, message);
  check(lfm_session_create(model, NULL, &session, message, sizeof message) ==
            LFM_OK,
        message);
  check(lfm_model_get_info(model, &info) == LFM_OK, "info");
  const size_t vocab = (size_t)info.vocab_size;
  float *logits = malloc(vocab * sizeof *logits);
  FILE *in = fopen(argv[2], "rb"), *out = fopen(argv[3], "wb");
  check(logits && in && out, "cannot open the files");
  int32_t id, first[4096];
  int more = atoi(argv[4]);
  const size_t count = argc == 6 ? (size_t)atoi(argv[5]) : 0;
  if (count) {
    check(count <= 4096 && fread(first, sizeof id, count, in) == count,
          "not enough tokens");
    check(lfm_session_prefill(session, first, count, logits) == LFM_OK,
          "prefill");
    check(fwrite(logits, sizeof *logits, vocab, out) == vocab, "cannot write");
  }
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
