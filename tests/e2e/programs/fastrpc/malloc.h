/* SPDX-License-Identifier: Apache-2.0
 *
 * The DSP's heap: memalign gives no more than LFM_TEST_HEAP bytes (environment)
 * at once.
 */
#ifndef TEST_MALLOC_H
#define TEST_MALLOC_H
#include_next <malloc.h>
#include <stdlib.h>

static inline void *testMemalign(size_t alignment, size_t bytes) {
  const char *most = getenv("LFM_TEST_HEAP");
  return most && bytes > strtoul(most, NULL, 10) ? NULL
                                                 : memalign(alignment, bytes);
}
#define memalign testMemalign
#endif
