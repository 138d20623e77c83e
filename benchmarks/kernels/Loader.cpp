// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/kernels/Loader.h"

#include "codegen/llvm/micro/Micro.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <stdexcept>

namespace lfmc::halide::bench {

void *loadKernel(const MicroKernel &kernel, const Target &target) {
  namespace fs = std::filesystem;
  std::string pattern = fs::temp_directory_path() / "lfmc_bench_XXXXXX";
  if (!mkdtemp(pattern.data()))
    throw std::runtime_error("cannot create a temporary folder");
  const fs::path folder = pattern;
  const std::string object = folder / "kernel.o",
                    library = folder / "kernel.so";
  std::string message =
      emitMicro(kernel, "kernel", target, Emit::Object, object);
  void *handle = nullptr;
  if (message.empty()) {
    std::string command = fmt::format("'{}' -shared -z defs -o '{}' '{}'",
                                      LFMC_LLD, library, object);
    if (std::system(command.c_str()) != 0)
      message = "cannot link " + object;
    else if (!(handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL)))
      message = dlerror();
  }
  fs::remove_all(folder);
  if (!message.empty())
    throw std::runtime_error(message);
  return dlsym(handle, "kernel");
}

} // namespace lfmc::halide::bench
