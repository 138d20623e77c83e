/* SPDX-License-Identifier: Apache-2.0
 *
 * Locks of the DSP's vector contexts: counted, a thread's second is an error.
 */
#ifndef QURT_HVX_H
#define QURT_HVX_H
#include "qurt.h"

enum { QURT_HVX_MODE_128B = 1 };
static long testLocks;
static __thread int testLocked;
static inline int qurt_hvx_lock(int mode) {
  if (mode != QURT_HVX_MODE_128B || testLocked ||
      __atomic_add_fetch(&testLocks, 1, __ATOMIC_SEQ_CST) >
          testNumber("LFM_TEST_LOCKS", testThreads))
    return 1;
  testLocked = 1;
  return QURT_EOK;
}
static inline int qurt_hvx_unlock(void) {
  if (!testLocked)
    return 1;
  testLocked = 0;
  __atomic_sub_fetch(&testLocks, 1, __ATOMIC_SEQ_CST);
  return QURT_EOK;
}
#endif
