/* SPDX-License-Identifier: Apache-2.0
 *
 * The few system calls of Hexagon Linux that the runner makes, without a C
 * library (qemu-hexagon). Results are negative error numbers on failure.
 */
#ifndef LFM_HEXAGON_LINUX_H
#define LFM_HEXAGON_LINUX_H

#include <stddef.h>
#include <stdint.h>

int lfm_linux_open(const char *path, int create);
/* All of `bytes`, or fewer at the end of the file. */
long lfm_linux_read(int file, void *memory, size_t bytes);
long lfm_linux_write(int file, const void *memory, size_t bytes);
/* Zeroed memory, aligned to pages; null if there is none. */
void *lfm_linux_memory(uint64_t bytes);
void lfm_linux_free(void *memory, uint64_t bytes);
/* A clock that only goes forward. */
int64_t lfm_linux_nanoseconds(void);
_Noreturn void lfm_linux_exit(int code);

#endif /* LFM_HEXAGON_LINUX_H */
