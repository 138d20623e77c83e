/* SPDX-License-Identifier: Apache-2.0
 *
 * The far side of `lfmc verify --runner` and `lfmc bench --runner`: linked with
 * a package into one static program, it runs a session as it is told.
 *
 *   PROGRAM WEIGHTS THREADS
 *
 * Requests come on standard input, answers go to standard output, both little
 * endian. A request is two int32, an operation and a count n, for the reading
 * operations followed by n int32 tokens. An answer is two int32, a status and
 * a count m, and a double, the seconds that the call took; then m floats, or
 * for a status other than 0 m bytes of message. The first answer is unasked:
 * opening the model; its floats are vocab_size, max_context, max_prefill,
 * threads and the peak of memory in MiB. The end of the input ends the program.
 */
#include LFMC_PACKAGE_HEADER

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum {
  OP_RESET = 0,
  OP_PREFILL = 1, /* n tokens, answers the last one's logits */
  OP_LOGITS = 2,  /* n tokens, answers all logits */
  OP_DECODE = 3,  /* n tokens one by one, answers the last one's logits */
  OP_READ = 4,    /* as OP_PREFILL without an answer of logits */
  OP_STEP = 5,    /* as OP_DECODE without an answer of logits */
  OP_SAVE = 6,    /* keeps the state, one at a time */
  OP_LOAD = 7     /* goes back to it */
};

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int answer(int32_t status, const void *data, size_t count, size_t size,
                  double seconds) {
  int32_t head[2] = {status, (int32_t)count};
  return fwrite(head, sizeof head, 1, stdout) == 1 &&
         fwrite(&seconds, sizeof seconds, 1, stdout) == 1 &&
         fwrite(data, size, count, stdout) == count && fflush(stdout) == 0;
}

static int refuse(lfm_status status, const char *message) {
  return answer((int32_t)status, message, strlen(message), 1, 0);
}

static struct {
  lfm_session *session;
  int32_t vocab, *tokens;
  float *logits;
  void *saved;
  size_t savedBytes;
} it;

static lfm_status step(int32_t op, int32_t n) {
  lfm_session *s = it.session;
  lfm_status status = LFM_OK;
  switch (op) {
  case OP_RESET:
    lfm_session_reset(s);
    return LFM_OK;
  case OP_PREFILL:
  case OP_READ:
    return lfm_session_prefill(s, it.tokens, (size_t)n, it.logits);
  case OP_LOGITS:
    return lfm_session_logits(s, it.tokens, (size_t)n, it.logits);
  case OP_DECODE:
  case OP_STEP:
    for (int32_t i = 0; i < n && status == LFM_OK; ++i)
      status = lfm_session_decode(s, it.tokens[i], it.logits);
    return status;
  case OP_SAVE:
    free(it.saved);
    it.savedBytes = lfm_session_snapshot_size(s);
    it.saved = malloc(it.savedBytes);
    return it.saved ? lfm_session_snapshot_save(s, it.saved, it.savedBytes)
                    : LFM_ERROR_OUT_OF_MEMORY;
  case OP_LOAD:
    return lfm_session_snapshot_load(s, it.saved, it.savedBytes);
  }
  return LFM_ERROR_INVALID_ARGUMENT;
}

/* One request; 0 at the end. */
static int serve(void) {
  int32_t head[2];
  if (fread(head, sizeof head, 1, stdin) != 1)
    return 0;
  const int32_t op = head[0], n = head[1];
  const int reads = op >= OP_PREFILL && op <= OP_STEP;
  const size_t rows = op == OP_LOGITS ? (size_t)n : 1;
  if (n < 0 || n > 1 << 24)
    return 0;
  it.tokens = realloc(it.tokens, ((size_t)n + 1) * sizeof *it.tokens);
  it.logits =
      realloc(it.logits, (rows + 1) * (size_t)it.vocab * sizeof *it.logits);
  if (!it.tokens || !it.logits)
    return 0;
  if (reads &&
      fread(it.tokens, sizeof *it.tokens, (size_t)n, stdin) != (size_t)n)
    return 0;
  const double start = now();
  lfm_status status = step(op, n);
  const double seconds = now() - start;
  if (status != LFM_OK) {
    const char *message = lfm_session_message(it.session);
    return refuse(status, *message ? message : lfm_status_string(status));
  }
  const int answers = op >= OP_PREFILL && op <= OP_DECODE;
  return answer(0, it.logits, answers ? rows * (size_t)it.vocab : 0,
                sizeof *it.logits, seconds);
}

int main(int argc, char **argv) {
  char message[512] = "";
  lfm_model *model = NULL;
  lfm_model_info info;
  lfm_session_options options = {0};
  if (argc != 3)
    return fprintf(stderr, "usage: %s WEIGHTS THREADS\n", argv[0]), 2;
  options.threads = atoi(argv[2]);
  const double start = now();
  lfm_status status = lfm_model_open(&LFMC_PACKAGE_PROGRAM, argv[1], NULL,
                                     &model, message, sizeof message);
  if (status == LFM_OK)
    status = lfm_session_create(model, &options, &it.session, message,
                                sizeof message);
  if (status != LFM_OK)
    return refuse(status, message), 1;
  lfm_model_get_info(model, &info);
  it.vocab = info.vocab_size;
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  const float facts[] = {
      (float)info.vocab_size, (float)info.max_context, (float)info.max_prefill,
      (float)lfm_session_threads(it.session), (float)usage.ru_maxrss / 1024};
  int more = answer(0, facts, 5, sizeof *facts, now() - start);
  while (more)
    more = serve();
  lfm_session_destroy(it.session);
  lfm_model_close(model);
  return 0;
}
