/* SPDX-License-Identifier: Apache-2.0
 *
 * The part of FastRPC that lfmc's sources for the SDK use, without a DSP.
 */
#ifndef REMOTE_H
#define REMOTE_H
#include <stdint.h>
typedef uint64_t remote_handle64;
typedef int AEEResult;
struct remote_rpc_control_unsigned_module {
  int domain, enable;
};
struct remote_rpc_thread_params {
  int domain, prio, stack_size;
};
enum { DSPRPC_CONTROL_UNSIGNED_MODULE = 2, FASTRPC_THREAD_PARAMS = 1 };
static inline int remote_session_control(uint32_t request, void *data,
                                         uint32_t bytes) {
  return request && data && bytes ? 0 : 1;
}
#endif
