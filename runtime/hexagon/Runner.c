/* SPDX-License-Identifier: Apache-2.0
 *
 * A whole program around a package for Hexagon, for qemu-hexagon:
 *
 *   runner NAME.weights TOKENS LOGITS COUNT [decode|whole [VTCM [THREADS]]]
 *   runner NAME.weights THREADS      requests of lfmc (Runner.h)
 *
 * TOKENS are int32 ids. Reads them in one go, or one by one with `decode`, then
 * COUNT of its own choice (greedy). Writes the logits after each token to
 * LOGITS, f32[tokens + COUNT][vocab_size], and the chosen ids to standard
 * output, one a line. VTCM: so many bytes of memory stand for it (0: none);
 * scratch that was written elsewhere, though all fits there, is an error, and
 * so is a thread that has used more than half of its stack. Errors go to
 * standard error; then the code is 1. Linked with a package whose program is
 * called lfm_runner_program.
 */
#include "Runner.h"
#include "Linux.h"

enum { maxTokens = 4096 };

size_t lfm_runner_length(const char *text) {
  size_t n = 0;
  while (text[n])
    ++n;
  return n;
}

_Noreturn void lfm_runner_fail(const char *what, const char *why) {
  const char *parts[] = {"error: ", what, ": ", why, "\n"};
  for (int i = 0; i < 5; ++i)
    lfm_linux_write(2, parts[i], lfm_runner_length(parts[i]));
  lfm_linux_exit(1);
}

void *lfm_runner_memory(const char *what, uint64_t bytes) {
  void *got = lfm_linux_memory(bytes);
  if (!got)
    lfm_runner_fail(what, lfm_npu_message(LFM_NPU_MEMORY));
  return got;
}

const uint8_t *lfm_runner_weights(const char *path, const char **why) {
  const lfm_program *p = &lfm_runner_program;
  int file = lfm_linux_open(path, 0);
  *why = "cannot open";
  if (file < 0)
    return NULL;
  void *weights = lfm_runner_memory(path, p->weights_bytes);
  *why = "truncated";
  return lfm_linux_read(file, weights, p->weights_bytes) ==
                 (long)p->weights_bytes
             ? weights
             : NULL;
}

int32_t lfm_runner_number(const char *text) {
  int32_t value = 0;
  const char *end = text;
  for (; *end >= '0' && *end <= '9' && value < 100000000; ++end)
    value = value * 10 + (*end - '0');
  return *end || end == text ? -1 : value;
}

static int32_t number(const char *text) {
  int32_t value = lfm_runner_number(text);
  if (value < 0)
    lfm_runner_fail(text, "expected a number");
  return value;
}

static void printId(int32_t id) {
  char text[12], *p = text + sizeof text;
  *--p = '\n';
  do
    *--p = (char)('0' + id % 10);
  while (id /= 10);
  lfm_linux_write(1, p, (size_t)(text + sizeof text - p));
}

static void read(lfm_npu *npu, const int32_t *ids, int32_t count, float *logits,
                 int out, const char *path) {
  lfm_npu_status bad = lfm_npu_read(npu, ids, count, logits, 1);
  if (bad)
    lfm_runner_fail(path, lfm_npu_message(bad));
  size_t bytes = (size_t)count * (size_t)npu->program->vocab_size * 4;
  if (lfm_linux_write(out, logits, bytes) != (long)bytes)
    lfm_runner_fail(path, "cannot write the logits");
}

static int run(int argc, char **argv) {
  if (argc == 3)
    return lfm_runner_serve(argv[1], argv[2]);
  if (argc < 5)
    lfm_runner_fail("usage", "runner NAME.weights TOKENS LOGITS COUNT "
                             "[decode|whole [VTCM [THREADS]]]");
  const lfm_program *p = &lfm_runner_program;
  static lfm_npu npu;
  const char *why;
  const uint8_t *weights = lfm_runner_weights(argv[1], &why);
  if (!weights)
    lfm_runner_fail(argv[1], why);
  lfm_npu_status bad = lfm_npu_open(
      &npu, p, weights, lfm_runner_memory("session", lfm_npu_session_bytes(p)));
  if (bad)
    lfm_runner_fail(argv[1], lfm_npu_message(bad));
  const uint64_t vtcm = argc > 6 ? (uint32_t)number(argv[6]) : 0;
  if (vtcm)
    bad = lfm_npu_use_vtcm(&npu, lfm_runner_memory("VTCM", vtcm + 1), vtcm);
  if (bad)
    lfm_runner_fail(argv[6], lfm_npu_message(bad));
  bad = lfm_runner_start_threads(&npu, argc > 7 ? number(argv[7]) : 1);
  if (bad)
    lfm_runner_fail(argv[7], lfm_npu_message(bad));
  static int32_t ids[maxTokens + 1];
  int in = lfm_linux_open(argv[2], 0);
  long bytes = in < 0 ? in : lfm_linux_read(in, ids, sizeof ids);
  if (bytes <= 0 || bytes % 4 || bytes > maxTokens * 4)
    lfm_runner_fail(argv[2], "expected 1 to 4096 token ids");
  const int32_t count = (int32_t)(bytes / 4), more = number(argv[4]);
  int out = lfm_linux_open(argv[3], 1);
  if (out < 0)
    lfm_runner_fail(argv[3], "cannot create");
  const int32_t step = argc > 5 && argv[5][0] == 'd' ? 1 : count;
  const uint64_t row = (uint64_t)p->vocab_size * 4;
  float *logits = lfm_runner_memory("logits", row * (uint32_t)step);
  for (int32_t i = 0; i < count; i += step)
    read(&npu, ids + i, step, logits, out, argv[2]);
  const float *last = logits + (int64_t)(step - 1) * p->vocab_size;
  for (int32_t i = 0; i < more; ++i) {
    int32_t id = lfm_npu_greedy(&npu, last);
    printId(id);
    read(&npu, &id, 1, logits, out, "decode");
    last = logits;
  }
  /* Fresh memory is zero. */
  for (uint64_t i = 0; vtcm >= p->arena_bytes && i < p->arena_bytes; ++i)
    if (npu.arena[i])
      lfm_runner_fail("VTCM", "scratch was written outside");
  if (lfm_runner_join_threads(&npu) > LFM_NPU_STACK_BYTES / 2)
    lfm_runner_fail("a thread", "more than half of its stack was used");
  return 0;
}

/* The stack holds argc and argv. */
_Noreturn __attribute__((used)) static void start(long *stack) {
  lfm_linux_exit(run((int)stack[0], (char **)(stack + 1)));
}
__asm__(".globl _start\n"
        ".type _start, @function\n"
        "_start:\n"
        "{ r0 = r29 }\n"
        "{ r29 = and(r29, #-16) }\n"
        "{ call start }\n");
