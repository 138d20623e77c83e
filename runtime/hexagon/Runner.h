/* SPDX-License-Identifier: Apache-2.0
 *
 * The parts of the program for qemu-hexagon. All errors but those of requests
 * end it: a line on standard error, code 1.
 */
#ifndef LFM_HEXAGON_RUNNER_H
#define LFM_HEXAGON_RUNNER_H

#include "lfm/npu.h"

#include <stddef.h>

/* The package's program, by the linker. */
extern const lfm_program lfm_runner_program;

_Noreturn void lfm_runner_fail(const char *what, const char *why);
size_t lfm_runner_length(const char *text);
/* Zeroed memory for `what`, aligned to pages. */
void *lfm_runner_memory(const char *what, uint64_t bytes);
/* The weights file of `path` in memory; null: it cannot be opened or is
 * truncated, `why` says which. */
const uint8_t *lfm_runner_weights(const char *path, const char **why);

/* The package's threads beside the first; on failure there is the first. */
lfm_npu_status lfm_runner_start_threads(lfm_npu *npu, int32_t threads);
/* Ends them; the most bytes of stack that one of them has used. */
uint64_t lfm_runner_join_threads(lfm_npu *npu);

/* A number of at most nine digits; -1: it is none. */
int32_t lfm_runner_number(const char *text);

/* Answers requests on standard input by lfmc's protocol of runners
 * (tools/lfmc/runner/driver.c) until its end; returns the program's code. */
int lfm_runner_serve(const char *weights, const char *threads);

#endif /* LFM_HEXAGON_RUNNER_H */
