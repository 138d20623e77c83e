// SPDX-License-Identifier: Apache-2.0
//
// Compiles one microkernel and loads it into this process.
#ifndef LFMC_BENCHMARKS_KERNELS_LOADER_H
#define LFMC_BENCHMARKS_KERNELS_LOADER_H

#include "codegen/halide/MicroKernel.h"
#include "targets/Target.h"

#include <HalideRuntime.h>

#include <cstdint>
#include <string>

namespace lfmc::halide::bench {

/// Compiles for `target` as a package would. Returns the kernel's function,
/// loaded for the life of the process. Throws std::runtime_error with the
/// compiler's or linker's message.
void *loadKernel(const MicroKernel &kernel, const Target &target);

/// A buffer argument: only `host` is set, kernels read nothing else.
inline halide_buffer_t buffer(const void *host) {
  halide_buffer_t record = {};
  record.host = static_cast<uint8_t *>(const_cast<void *>(host));
  return record;
}

/// Calls a kernel whose arguments are buffers only.
template <typename... Hosts>
void call(void *function, Hosts... hosts) {
  auto invoke = [function](auto... records) {
    using Signature = int (*)(decltype(&records)...);
    reinterpret_cast<Signature>(function)(&records...);
  };
  invoke(buffer(hosts)...);
}

} // namespace lfmc::halide::bench

#endif // LFMC_BENCHMARKS_KERNELS_LOADER_H
