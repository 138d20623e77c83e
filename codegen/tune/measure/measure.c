/* SPDX-License-Identifier: Apache-2.0
 *
 * The measuring program: usage: measure JOB-FILE. Prints one line of JSON:
 *   {"status": "ok", "times": [{"best": ns, "low": ns, "median": ns, "repeats":
 *    n}, {…}], "ratio": candidate / anchor, "drift": of the anchor,
 *    "ghz": [before, after], "threads": n, "disturbed": whether "low" and
 *    "ratio" are of processor time (team.h)}
 *   {"status": "wrong", "kernel": 0 or 1, "row": …, "column": …, "found": …,
 *    "wanted": …}
 * Exit codes: 0 measured, 3 wrong, 1 anything else, with a line on stderr.
 */
#define _GNU_SOURCE
#include "check.h"
#include "job.h"
#include "team.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static void fail(const char *what) {
  fprintf(stderr, "measure: %s\n", what);
  exit(1);
}

static int64_t nanoseconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static uint8_t *allocate(uint64_t bytes) {
  const uint64_t huge = 2 << 20;
  bytes = (bytes + huge - 1) / huge * huge;
  void *p = mmap(NULL, bytes + huge, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED)
    fail("out of memory");
  uint8_t *aligned = (uint8_t *)(((uintptr_t)p + huge - 1) / huge * huge);
#ifdef MADV_HUGEPAGE
  madvise(aligned, bytes, MADV_HUGEPAGE);
#endif
  return aligned;
}

static const lfm_job *readJob(const char *path) {
  FILE *file = fopen(path, "rb");
  if (!file)
    fail("cannot open the job file");
  lfm_job head;
  if (fread(&head, sizeof head, 1, file) != 1 ||
      memcmp(head.magic, LFM_JOB_MAGIC, 8) || head.bytes < sizeof head)
    fail("not a job file of this version");
  uint8_t *all = allocate(head.bytes);
  memcpy(all, &head, sizeof head);
  if (fread(all + sizeof head, head.bytes - sizeof head, 1, file) != 1)
    fail("the job file is cut short");
  fclose(file);
  return (const lfm_job *)all;
}

static const lfm_job *job;

/* A kernel's operands in memory: base[o] + copy * stride[o]. */
static struct {
  uint8_t *base[LFM_OPERANDS];
  uint64_t stride[LFM_OPERANDS];
  uint64_t copies;
} memory[2];

static uint64_t bytesOf(const lfm_operand *o) {
  switch (o->kind) {
  case LFM_OPERAND_ROWS:
    return job->tokens / o->units * o->unit;
  case LFM_OPERAND_UNITS:
    return o->units * o->unit;
  case LFM_OPERAND_PLAIN:
    return o->unit;
  case LFM_OPERAND_RECORDS:
    return o->units * lfm_record_bytes(o);
  default:
    return job->tokens * o->units * o->columns * 4;
  }
}

static int isOutput(const lfm_operand *o) {
  return o->kind == LFM_OPERAND_OUTPUT || o->kind == LFM_OPERAND_RECORDS;
}

static void fillGrid(const lfm_operand *o, const float *data, float *to) {
  const uint64_t c = o->columns;
  for (uint64_t t = 0; t < job->tokens; ++t)
    for (uint64_t u = 0; u < o->units; ++u, to += c)
      memcpy(to, data + (lfm_is_b(u) * o->rows + t % o->rows) * c, c * 4);
}

static void setUp(int k) {
  const lfm_job_kernel *kernel = &job->kernel[k];
  uint64_t weights = 0;
  for (uint32_t i = 0; i < kernel->operands; ++i)
    if (kernel->operand[i].kind == LFM_OPERAND_UNITS)
      weights += bytesOf(&kernel->operand[i]);
  uint64_t copies = weights ? (job->cold_bytes + weights - 1) / weights : 1;
  if (copies < 1)
    copies = 1;
  memory[k].copies = copies;
  for (uint32_t i = 0; i < kernel->operands; ++i) {
    const lfm_operand *o = &kernel->operand[i];
    const uint8_t *data = (const uint8_t *)job + o->data;
    const uint64_t bytes = (bytesOf(o) + 63) / 64 * 64;
    if (k == 1 && i < job->kernel[0].operands && !isOutput(o) &&
        job->kernel[0].operand[i].data == o->data) {
      memory[1].base[i] = memory[0].base[i];
      memory[1].stride[i] = memory[0].stride[i];
      continue;
    }
    uint8_t *base = memory[k].base[i] =
        allocate(o->kind == LFM_OPERAND_UNITS ? copies * bytes : bytes);
    if (o->kind == LFM_OPERAND_ROWS)
      for (uint64_t t = 0; t < job->tokens / o->units; ++t)
        memcpy(base + t * o->unit, data + t % o->rows * o->unit, o->unit);
    if (o->kind == LFM_OPERAND_GRID)
      fillGrid(o, (const float *)data, (float *)base);
    if (o->kind == LFM_OPERAND_PLAIN)
      memcpy(base, data, o->unit);
    if (o->kind != LFM_OPERAND_UNITS)
      continue;
    memory[k].stride[i] = bytes;
    for (uint64_t copy = 0; copy < copies; ++copy)
      for (uint64_t u = 0; u < o->units; ++u)
        memcpy(base + copy * bytes + u * o->unit, data + lfm_is_b(u) * o->unit,
               o->unit);
  }
}

typedef void *P;
typedef int64_t N;
void lfm_kernel_0(void), lfm_kernel_1(void);

static int current;     /* kernel of the call under way */
static uint64_t round_; /* chooses the copy of the weights */

static void callChunk(int64_t chunk) {
  const int k = current;
  P p[LFM_OPERANDS];
  const uint64_t copy = round_ % memory[k].copies;
  for (uint32_t i = 0; i < job->kernel[k].operands; ++i)
    p[i] = memory[k].base[i] + copy * memory[k].stride[i];
  void (*f)(void) = k ? lfm_kernel_1 : lfm_kernel_0;
  const N n = (N)job->tokens, at = (N)job->position;
  switch (job->kernel[k].operands) {
  case 3:
    ((void (*)(P, P, P, N, N, N))f)(p[0], p[1], p[2], n, at, chunk);
    break;
  case 4:
    ((void (*)(P, P, P, P, N, N, N))f)(p[0], p[1], p[2], p[3], n, at, chunk);
    break;
  case 5:
    ((void (*)(P, P, P, P, P, N, N, N))f)(p[0], p[1], p[2], p[3], p[4], n, at,
                                          chunk);
    break;
  case 2:
    ((void (*)(P, P, N, N, N))f)(p[0], p[1], n, at, chunk);
    break;
  case 6:
    ((void (*)(P, P, P, P, P, P, N, N, N))f)(p[0], p[1], p[2], p[3], p[4], p[5],
                                             n, at, chunk);
    break;
  case 7:
    ((void (*)(P, P, P, P, P, P, P, N, N, N))f)(p[0], p[1], p[2], p[3], p[4],
                                                p[5], p[6], n, at, chunk);
    break;
  case 9:
    ((void (*)(P, P, P, P, P, P, P, P, P, N, N, N))f)(
        p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7], p[8], n, at, chunk);
    break;
  default:
    fail("expected a kernel of 2 to 7 operands, or 9");
  }
}

static int64_t processor; /* time of the last call, see lfm_team_run */

static int64_t call(int k) {
  current = k;
  const int64_t start = nanoseconds();
  processor = lfm_team_run(job->kernel[k].chunks, callChunk);
  return nanoseconds() - start;
}

static int hasState(int k) {
  for (uint32_t i = 0; i < job->kernel[k].operands; ++i)
    if (job->kernel[k].operand[i].begin)
      return 1;
  return 0;
}

/* Outputs hold nothing that is right, state what it held before. */
static void poison(int k) {
  for (uint32_t i = 0; i < job->kernel[k].operands; ++i) {
    const lfm_operand *o = &job->kernel[k].operand[i];
    if (!isOutput(o))
      continue;
    if (o->begin)
      memcpy(memory[k].base[i], (const uint8_t *)job + o->begin, bytesOf(o));
    else
      memset(memory[k].base[i], 0xff, bytesOf(o));
  }
}

static void check(int k) {
  for (uint32_t i = 0; i < job->kernel[k].operands; ++i)
    lfm_check_operand(job, k, &job->kernel[k].operand[i], memory[k].base[i]);
}

static int ascending(const void *a, const void *b) {
  const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

/* Of a chain of additions, one a cycle. */
static double gigahertz(void) {
  double best = 0;
  for (int round = 0; round < 3; ++round) {
    const long steps = 200000;
    const int64_t start = nanoseconds();
    uint64_t x = 0;
    for (long i = 0; i < steps / 8; ++i) {
#define STEP                                                                   \
  __asm__ volatile("" : "+r"(x));                                              \
  x += 3;
      STEP STEP STEP STEP STEP STEP STEP STEP
    }
    __asm__ volatile("" : "+r"(x));
    const double rate = (double)steps / (double)(nanoseconds() - start);
    if (rate > best)
      best = rate;
  }
  return best;
}

enum { MOST = 20000 };
static int64_t times[2][MOST], processors[2][MOST];

/* The lower quartile; sorts. */
static int64_t low(int64_t *values, int n) {
  qsort(values, (size_t)n, 8, ascending);
  return values[n / 4];
}

static void measure(void) {
  const double before = gigahertz();
  const int64_t end = nanoseconds() + (int64_t)(job->seconds * 1e9);
  int n = 0;
  for (; n < MOST && (n < 5 || nanoseconds() < end); ++n)
    for (int k = 0; k < 2; ++k) {
      /* Nobody always follows the same one into the caches. */
      const int which = k ^ (n & 1);
      times[which][n] = call(which);
      processors[which][n] = processor;
      ++round_;
    }
  const double after = gigahertz();
  /* What the last call left; of state, what one more makes of the first. */
  if (hasState(1)) {
    poison(1);
    call(1);
  }
  check(1);

  /* Of the anchor in the first and the last quarter. */
  const int part = n / 4 ? n / 4 : 1;
  static int64_t parts[2][MOST];
  memcpy(parts[0], processors[0], (size_t)part * 8);
  memcpy(parts[1], processors[0] + n - part, (size_t)part * 8);
  const double drift =
      (double)low(parts[1], part) / (double)low(parts[0], part);

  /* Where other programs run beside us, the time that passes is theirs. */
  int64_t passed[2], spent[2];
  for (int k = 0; k < 2; ++k) {
    passed[k] = low(times[k], n);
    spent[k] = low(processors[k], n);
  }
  const int disturbed = passed[0] + passed[1] > (spent[0] + spent[1]) * 5 / 4;
  const int64_t *score = disturbed ? spent : passed;
  printf("{\"status\": \"ok\", \"times\": [");
  for (int k = 0; k < 2; ++k)
    printf("%s{\"best\": %lld, \"low\": %lld, \"median\": %lld, "
           "\"repeats\": %d}",
           k ? ", " : "", (long long)times[k][0], (long long)score[k],
           (long long)times[k][n / 2], n);
  printf("], \"ratio\": %.6f, \"disturbed\": %s, \"drift\": %.4f, \"ghz\": "
         "[%.3f, %.3f], \"threads\": %d}\n",
         (double)score[1] / (double)score[0], disturbed ? "true" : "false",
         drift, before, after, lfm_team_threads());
}

int main(int argc, char **argv) {
  if (argc != 2)
    fail("usage: measure JOB-FILE");
  job = readJob(argv[1]);
  alarm(job->limit_seconds);
  for (int k = 0; k < 2; ++k)
    if (job->kernel[k].operands < 2 || job->kernel[k].operands > LFM_OPERANDS)
      fail("expected kernels of 2 to 9 operands");
  if (lfm_team_start((int)job->threads))
    fail("cannot start threads");
  setUp(0);
  setUp(1);
  if (job->repeats) {
    /* Between two writes lies a call, for a counter of instructions. */
    for (uint32_t i = 0; i < job->repeats; ++i) {
      if (write(STDOUT_FILENO, "\n", 1) != 1)
        return 1;
      call((int)job->only);
    }
    return write(STDOUT_FILENO, "\n", 1) != 1;
  }
  for (int k = 0; k < 2; ++k)
    for (int round = 0; round < 2; ++round) {
      poison(k);
      call(k);
      check(k);
    }
  measure();
  return fflush(stdout) ? 1 : 0;
}
