/* SPDX-License-Identifier: Apache-2.0
 *
 * Locks of the DSP's system: none here.
 */
#ifndef QURT_HVX_H
#define QURT_HVX_H
enum { QURT_HVX_MODE_128B = 1 };
static inline int qurt_hvx_lock(int mode) { return mode != QURT_HVX_MODE_128B; }
static inline int qurt_hvx_unlock(void) { return 0; }
#endif
