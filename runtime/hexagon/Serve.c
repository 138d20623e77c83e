/* SPDX-License-Identifier: Apache-2.0
 *
 * The far side of `lfmc verify --runner` and `lfmc bench --runner`: the
 * requests and answers of tools/lfmc/runner/driver.c. An answer is one write,
 * so that plugins of qemu can count what lies between two.
 */
#include "Linux.h"
#include "Runner.h"

enum {
  OP_RESET = 0,
  OP_PREFILL = 1,
  OP_LOGITS = 2,
  OP_DECODE = 3,
  OP_READ = 4,
  OP_STEP = 5,
  OP_SAVE = 6,
  OP_LOAD = 7
};

/* What comes before an answer's floats or its message. */
typedef struct {
  int32_t status, count;
  double seconds;
} head;

static lfm_npu npu;
static int32_t savedPos, *ids;
static uint8_t *saved;
static head *answer; /* followed by room for `answerBytes` */
static uint64_t answerBytes;

static void *contents(void) { return answer + 1; }

static void copy(void *to, const void *from, uint64_t bytes) {
  uint8_t *t = to;
  const uint8_t *f = from;
  for (uint64_t i = 0; i < bytes; ++i)
    t[i] = f[i];
}

/* v66 multiplies no doubles. */
static double secondsSince(int64_t start) {
  return (double)((float)(lfm_linux_nanoseconds() - start) * 1e-9f);
}

static void reserve(uint64_t bytes) {
  if (bytes <= answerBytes)
    return;
  if (answer)
    lfm_linux_free(answer, sizeof *answer + answerBytes);
  answer = lfm_runner_memory("answer", sizeof *answer + bytes);
  answerBytes = bytes;
}

static int reply(int32_t status, int32_t count, uint64_t bytes,
                 double seconds) {
  answer->status = status;
  answer->count = count;
  answer->seconds = seconds;
  const long all = (long)(sizeof *answer + bytes);
  return lfm_linux_write(1, answer, (size_t)all) == all;
}

static int refuse(lfm_npu_status status, const char *message) {
  const size_t length = lfm_runner_length(message);
  reserve(length);
  copy(contents(), message, length);
  return reply((int32_t)status, (int32_t)length, length, 0);
}

static lfm_npu_status step(int32_t op, int32_t n) {
  const lfm_program *p = &lfm_runner_program;
  lfm_npu_status status = LFM_NPU_OK;
  switch (op) {
  case OP_RESET:
    lfm_npu_reset(&npu);
    return LFM_NPU_OK;
  case OP_PREFILL:
  case OP_READ:
  case OP_LOGITS:
    return lfm_npu_read(&npu, ids, n, contents(), op == OP_LOGITS);
  case OP_DECODE:
  case OP_STEP:
    for (int32_t i = 0; i < n && status == LFM_NPU_OK; ++i)
      status = lfm_npu_read(&npu, ids + i, 1, contents(), 0);
    return status;
  case OP_SAVE:
    copy(saved, npu.state, p->state_bytes);
    savedPos = npu.pos;
    return LFM_NPU_OK;
  case OP_LOAD:
    copy(npu.state, saved, p->state_bytes);
    npu.pos = savedPos;
    return LFM_NPU_OK;
  }
  return LFM_NPU_TOKEN;
}

/* One request; 0 at the end. */
static int serve(void) {
  const lfm_program *p = &lfm_runner_program;
  int32_t request[2];
  if (lfm_linux_read(0, request, sizeof request) != sizeof request)
    return 0;
  const int32_t op = request[0], n = request[1];
  if (n < 0 || n > p->max_context)
    return refuse(LFM_NPU_FULL, lfm_npu_message(LFM_NPU_FULL)), 0;
  const long bytes = (long)n * 4;
  if (op >= OP_PREFILL && op <= OP_STEP &&
      lfm_linux_read(0, ids, (size_t)bytes) != bytes)
    return 0;
  const uint64_t row = (uint64_t)p->vocab_size * 4;
  reserve(op == OP_LOGITS ? row * (uint32_t)n : row);
  const int64_t start = lfm_linux_nanoseconds();
  const lfm_npu_status status = step(op, n);
  const double seconds = secondsSince(start);
  if (status)
    return refuse(status, lfm_npu_message(status));
  const int32_t rows = op == OP_LOGITS                       ? n
                       : op == OP_PREFILL || op == OP_DECODE ? 1
                                                             : 0;
  return reply(0, rows * p->vocab_size, row * (uint32_t)rows, seconds);
}

int lfm_runner_serve(const char *path, const char *threads) {
  const lfm_program *p = &lfm_runner_program;
  const int64_t start = lfm_linux_nanoseconds();
  const char *why;
  const uint8_t *weights = lfm_runner_weights(path, &why);
  if (!weights)
    return refuse(LFM_NPU_FILE, why), 1;
  const uint64_t session = lfm_npu_session_bytes(p);
  lfm_npu_status bad =
      lfm_npu_open(&npu, p, weights, lfm_runner_memory("session", session));
  if (!bad)
    bad = lfm_runner_start_threads(&npu, lfm_runner_number(threads));
  if (bad)
    return refuse(bad, lfm_npu_message(bad)), 1;
  ids = lfm_runner_memory("tokens", (uint64_t)p->max_context * 4 + 4);
  saved = lfm_runner_memory("saved state", p->state_bytes + 1);
  const float mib = (float)(session + p->weights_bytes) * (1.0f / (1 << 20));
  const float facts[5] = {(float)p->vocab_size, (float)p->max_context,
                          (float)p->max_prefill, (float)npu.sync.threads, mib};
  reserve(sizeof facts);
  copy(contents(), facts, sizeof facts);
  int more = reply(0, 5, sizeof facts, secondsSince(start));
  while (more)
    more = serve();
  return 0;
}
