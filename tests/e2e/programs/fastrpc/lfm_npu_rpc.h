/* SPDX-License-Identifier: Apache-2.0
 *
 * What qaic makes of lfm_npu_rpc.idl: declarations that stub and skeleton
 * share.
 */
#ifndef LFM_NPU_RPC_H
#define LFM_NPU_RPC_H
#include "remote.h"
#define lfm_npu_rpc_URI                                                        \
  "file:///liblfm_npu_rpc_skel.so?lfm_npu_rpc_skel_handle_invoke"
int lfm_npu_rpc_open(const char *uri, remote_handle64 *handle);
int lfm_npu_rpc_close(remote_handle64 handle);
AEEResult lfm_npu_rpc_load(remote_handle64 handle, const char *weights,
                           int threads, int *vocab_size);
AEEResult lfm_npu_rpc_reset(remote_handle64 handle);
AEEResult lfm_npu_rpc_read(remote_handle64 handle, const int *ids, int idsLen,
                           float *logits, int logitsLen);
#endif
