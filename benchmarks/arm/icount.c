/* SPDX-License-Identifier: Apache-2.0
 *
 * A plugin of qemu-user: counts instructions between the guest's writes to its
 * standard output, which are the answers of tools/lfmc/runner/driver.c, and
 * for each line the functions, or the blocks, that executed most of them.
 *
 *   qemu-aarch64 -plugin libicount.so,out=FILE[,functions=N|,blocks=N]
 *                [,threads=N] PROGRAM
 *
 * FILE gets a line per write: the count, then NAME=COUNT of up to N functions
 * (24), or, of up to N blocks, @ADDRESS+INSTRUCTIONS=EXECUTIONS, the address in
 * hexadecimal. With threads=N, for programs of more than one and functions,
 * then thread:I=COUNT of N threads. What Hexagon's qemu calls an instruction is
 * a packet.
 * The declarations are those of qemu's plugin interface, version 1.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef struct qemu_info_t qemu_info_t;
enum qemu_plugin_op { QEMU_PLUGIN_INLINE_ADD_U64 };
typedef void (*translated)(qemu_plugin_id_t, struct qemu_plugin_tb *);
typedef void (*called)(qemu_plugin_id_t, unsigned, int64_t, uint64_t, uint64_t,
                       uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                       uint64_t);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, translated);
void qemu_plugin_register_vcpu_syscall_cb(qemu_plugin_id_t, called);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *,
                                                 size_t);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *);
const char *qemu_plugin_insn_symbol(const struct qemu_plugin_insn *);
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *,
                                              enum qemu_plugin_op, void *,
                                              uint64_t);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *,
                                          void (*)(unsigned, void *), int,
                                          void *);
#define EXPORT __attribute__((visibility("default")))
EXPORT int qemu_plugin_version = 1;

struct function {
  char name[96];
  uint64_t count, before;
};
enum { MAX_FUNCTIONS = 8192, MAX_THREADS = 64, SYSCALL_WRITE = 64 };
static struct function functions[MAX_FUNCTIONS];
static int used, shown = 24;
static FILE *out;

/* What a thread adds when it executes a block. */
struct portion {
  struct function *function;
  uint64_t instructions;
};
static uint64_t perThread[MAX_THREADS], perThreadBefore[MAX_THREADS];
static int threads; /* 0: one, whose counts are added inline */

struct block {
  uint64_t address, instructions, count, before;
};
enum { MAX_BLOCKS = 1 << 15 };
static struct block blocks[MAX_BLOCKS]; /* by a hash of the address */
static int blocksShown;                 /* 0: functions */

static struct function *find(const char *name) {
  int i = 0;
  if (!name || !*name)
    name = "?";
  while (i < used &&
         strncmp(functions[i].name, name, sizeof functions->name - 1))
    ++i;
  if (i == used && used < MAX_FUNCTIONS - 1)
    strncpy(functions[used++].name, name, sizeof functions->name - 1);
  return &functions[i];
}

/* NULL when the table is full: what is not counted is missing in the end. */
static struct block *blockAt(uint64_t address, uint64_t instructions) {
  uint64_t at = address * 0x9e3779b97f4a7c15u >> 49;
  for (int i = 0; i < MAX_BLOCKS; ++i, at = (at + 1) % MAX_BLOCKS) {
    struct block *b = &blocks[at];
    if (!b->instructions) {
      b->address = address;
      b->instructions = instructions;
    }
    if (b->address == address && b->instructions == instructions)
      return b;
  }
  return NULL;
}

static void execute(unsigned thread, void *data) {
  const struct portion *p = data;
  __atomic_fetch_add(&p->function->count, p->instructions, __ATOMIC_RELAXED);
  if (thread < MAX_THREADS)
    perThread[thread] += p->instructions;
}

static void translate(qemu_plugin_id_t id, struct qemu_plugin_tb *block) {
  (void)id;
  if (blocksShown) {
    struct block *b =
        blockAt(qemu_plugin_tb_vaddr(block), qemu_plugin_tb_n_insns(block));
    if (b)
      qemu_plugin_register_vcpu_tb_exec_inline(
          block, QEMU_PLUGIN_INLINE_ADD_U64, &b->count, 1);
    return;
  }
  struct function *f =
      find(qemu_plugin_insn_symbol(qemu_plugin_tb_get_insn(block, 0)));
  if (threads) {
    const int noRegisters = 0;
    struct portion *p = malloc(sizeof *p); /* lives as the block does */
    if (!p)
      abort();
    *p = (struct portion){f, qemu_plugin_tb_n_insns(block)};
    qemu_plugin_register_vcpu_tb_exec_cb(block, execute, noRegisters, p);
    return;
  }
  qemu_plugin_register_vcpu_tb_exec_inline(block, QEMU_PLUGIN_INLINE_ADD_U64,
                                           &f->count,
                                           qemu_plugin_tb_n_insns(block));
}

static int byCount(const void *a, const void *b) {
  const struct function *x = *(struct function *const *)a;
  const struct function *y = *(struct function *const *)b;
  uint64_t p = x->count - x->before, q = y->count - y->before;
  return p < q ? 1 : p > q ? -1 : 0;
}

static uint64_t executed(const struct block *b) {
  return (b->count - b->before) * b->instructions;
}

static int byExecuted(const void *a, const void *b) {
  const uint64_t p = executed(*(struct block *const *)a),
                 q = executed(*(struct block *const *)b);
  return p < q ? 1 : p > q ? -1 : 0;
}

static void printBlocks(void) {
  static struct block *order[MAX_BLOCKS];
  uint64_t total = 0;
  int n = 0;
  for (int i = 0; i < MAX_BLOCKS; ++i)
    if (blocks[i].count != blocks[i].before) {
      order[n++] = &blocks[i];
      total += executed(&blocks[i]);
    }
  qsort(order, (size_t)n, sizeof *order, byExecuted);
  fprintf(out, "%llu", (unsigned long long)total);
  for (int i = 0; i < n && i < blocksShown; ++i)
    fprintf(out, " @%llx+%llu=%llu", (unsigned long long)order[i]->address,
            (unsigned long long)order[i]->instructions,
            (unsigned long long)(order[i]->count - order[i]->before));
  fputc('\n', out);
  fflush(out);
  for (int i = 0; i < n; ++i)
    order[i]->before = order[i]->count;
}

static void systemCall(qemu_plugin_id_t id, unsigned cpu, int64_t number,
                       uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
                       uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8) {
  static struct function *order[MAX_FUNCTIONS];
  uint64_t total = 0;
  (void)id, (void)cpu, (void)a2, (void)a3, (void)a4, (void)a5, (void)a6,
      (void)a7, (void)a8;
  if (number != SYSCALL_WRITE || a1 != 1)
    return;
  if (blocksShown) {
    printBlocks();
    return;
  }
  for (int i = 0; i < used; ++i) {
    order[i] = &functions[i];
    total += functions[i].count - functions[i].before;
  }
  qsort(order, (size_t)used, sizeof *order, byCount);
  fprintf(out, "%llu", (unsigned long long)total);
  for (int i = 0; i < used && i < shown; ++i)
    fprintf(out, " %s=%llu", order[i]->name,
            (unsigned long long)(order[i]->count - order[i]->before));
  for (int i = 0; i < threads; ++i) {
    fprintf(out, " thread:%d=%llu", i,
            (unsigned long long)(perThread[i] - perThreadBefore[i]));
    perThreadBefore[i] = perThread[i];
  }
  fputc('\n', out);
  fflush(out);
  for (int i = 0; i < used; ++i)
    functions[i].before = functions[i].count;
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info,
                               int argc, char **argv) {
  (void)info;
  for (int i = 0; i < argc; ++i)
    if (strncmp(argv[i], "out=", 4) == 0)
      out = fopen(argv[i] + 4, "w");
    else if (strncmp(argv[i], "functions=", 10) == 0)
      shown = atoi(argv[i] + 10);
    else if (strncmp(argv[i], "blocks=", 7) == 0)
      blocksShown = atoi(argv[i] + 7);
    else if (strncmp(argv[i], "threads=", 8) == 0)
      threads = atoi(argv[i] + 8);
  if (threads > MAX_THREADS)
    threads = MAX_THREADS;
  if (!out)
    return fprintf(stderr, "icount: expected out=FILE\n"), -1;
  qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
  qemu_plugin_register_vcpu_syscall_cb(id, systemCall);
  return 0;
}
