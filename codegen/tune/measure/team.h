/* SPDX-License-Identifier: Apache-2.0
 *
 * The threads of the measuring program. They take chunks as those of a program
 * do (runtime/include/lfm/program.h): each its own range, then the others'.
 */
#ifndef LFM_MEASURE_TEAM_H
#define LFM_MEASURE_TEAM_H

#include <stdint.h>

/* Starts `threads` threads, the calling one counted; 0: as many as there are
 * processors. Returns 0, or -1 if the system refuses. */
int lfm_team_start(int threads);

int lfm_team_threads(void);

/* Calls chunk(c) for every c in [0, chunks) once and returns when all are done:
 * the processor time that it took, in nanoseconds, of all threads over their
 * number. On a machine that does other work it is less than the time that
 * passed. */
int64_t lfm_team_run(uint64_t chunks, void (*chunk)(int64_t));

#endif /* LFM_MEASURE_TEAM_H */
