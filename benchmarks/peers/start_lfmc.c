/* SPDX-License-Identifier: Apache-2.0
 *
 * From process start to the first token's logits, as an application does it:
 * prints the most likely token and ends. usage: start WEIGHTS THREADS
 * CONTEXT TOKEN; the package has its context */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
  lfm_model *model;
  lfm_session *session;
  lfm_session_options options = {0};
  lfm_model_info info;
  char message[256];
  if (argc != 5)
    return 2;
  options.threads = atoi(argv[2]);
  if (model_open(argv[1], &model, message, sizeof message) != LFM_OK ||
      lfm_session_create(model, &options, &session, message, sizeof message) !=
          LFM_OK) {
    fprintf(stderr, "%s\n", message);
    return 1;
  }
  lfm_model_get_info(model, &info);
  if (lfm_session_decode(session, atoi(argv[4]), NULL) != LFM_OK) {
    fprintf(stderr, "%s\n", lfm_session_message(session));
    return 1;
  }
  const float *logits = lfm_session_last_logits(session);
  int best = 0;
  for (int i = 1; i < info.vocab_size; ++i)
    if (logits[i] > logits[best])
      best = i;
  printf("%d\n", best);
  return 0;
}
