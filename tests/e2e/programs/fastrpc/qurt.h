/* SPDX-License-Identifier: Apache-2.0
 *
 * QuRT's threads and futexes by those of this machine. 12 hardware threads,
 * LFM_TEST_HVX vector contexts (environment; none: 1); only LFM_TEST_THREADS
 * threads can be started, and as many locks of HVX as LFM_TEST_LOCKS. At the
 * end of the process standard error says how many threads were started, and how
 * many of them were not joined.
 */
#ifndef QURT_H
#define QURT_H
#include <linux/futex.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { QURT_EOK = 0, testThreads = 64 };
typedef unsigned qurt_thread_t;
typedef struct {
  char *stack;
  int bytes, priority;
} qurt_thread_attr_t;
typedef struct {
  unsigned max_hthreads;
} qurt_sysenv_max_hthreads_t;

static struct {
  pthread_t threads[testThreads];
  unsigned started, joined;
} testQurt;

static inline long testNumber(const char *name, long otherwise) {
  const char *value = getenv(name);
  return value ? strtol(value, NULL, 10) : otherwise;
}
static inline void testQurtReport(void) {
  fprintf(stderr, "threads: started %u, left %u\n", testQurt.started,
          testQurt.started - testQurt.joined);
}
static inline int qurt_futex_wait(void *word, int value) {
  return (int)syscall(SYS_futex, word, FUTEX_WAIT, value, NULL, NULL, 0);
}
static inline int qurt_futex_wake(void *word, int count) {
  return (int)syscall(SYS_futex, word, FUTEX_WAKE, count, NULL, NULL, 0);
}
static inline int qurt_hvx_get_units(void) {
  return (int)testNumber("LFM_TEST_HVX", 1) << 8;
}
static inline int
qurt_sysenv_get_max_hw_threads(qurt_sysenv_max_hthreads_t *hardware) {
  hardware->max_hthreads = 12;
  return QURT_EOK;
}
static inline void qurt_thread_attr_init(qurt_thread_attr_t *attributes) {
  *attributes = (qurt_thread_attr_t){NULL, 0, -1};
}
static inline void qurt_thread_attr_set_name(qurt_thread_attr_t *attributes,
                                             const char *name) {
  (void)attributes, (void)name;
}
static inline void
qurt_thread_attr_set_stack_addr(qurt_thread_attr_t *attributes, void *stack) {
  attributes->stack = (char *)stack;
}
static inline void
qurt_thread_attr_set_stack_size(qurt_thread_attr_t *attributes,
                                unsigned bytes) {
  attributes->bytes = (int)bytes;
}
static inline void qurt_thread_attr_set_priority(qurt_thread_attr_t *attributes,
                                                 unsigned short priority) {
  attributes->priority = priority;
}
static inline qurt_thread_t qurt_thread_get_id(void) { return 99; }
static inline int qurt_thread_get_priority(qurt_thread_t thread) {
  return thread == 99 ? 192 : -1;
}
static inline void qurt_thread_exit(int status) {
  pthread_exit((void *)(long)status);
}

struct testStart {
  void (*function)(void *);
  void *argument;
};
static inline void *testThread(void *argument) {
  struct testStart start = *(struct testStart *)argument;
  free(argument);
  start.function(start.argument);
  return NULL;
}
static inline int qurt_thread_create(qurt_thread_t *thread,
                                     qurt_thread_attr_t *attributes,
                                     void (*function)(void *), void *argument) {
  const unsigned number = testQurt.started;
  if (number >= testThreads ||
      number >= (unsigned long)testNumber("LFM_TEST_THREADS", testThreads) ||
      attributes->priority != 192)
    return 1;
  struct testStart *start = (struct testStart *)malloc(sizeof *start);
  *start = (struct testStart){function, argument};
  pthread_attr_t here;
  pthread_attr_init(&here);
  const int failed =
      pthread_attr_setstack(&here, attributes->stack,
                            (size_t)attributes->bytes) ||
      pthread_create(&testQurt.threads[number], &here, testThread, start);
  pthread_attr_destroy(&here);
  if (failed)
    return 1;
  if (!testQurt.started++)
    atexit(testQurtReport);
  *thread = number;
  return QURT_EOK;
}
static inline int qurt_thread_join(qurt_thread_t thread, int *status) {
  *status = 0;
  testQurt.joined += pthread_join(testQurt.threads[thread], NULL) == 0;
  return QURT_EOK;
}
#endif
