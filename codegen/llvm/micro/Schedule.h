// SPDX-License-Identifier: Apache-2.0
//
// In which order a kernel's operations are written. Private to
// codegen/llvm/micro.
#ifndef LFMC_CODEGEN_LLVM_MICRO_SCHEDULE_H
#define LFMC_CODEGEN_LLVM_MICRO_SCHEDULE_H

#include <functional>
#include <map>

namespace lfmc {

/// Operations by the time at which they are to be written.
class Schedule {
public:
  void add(double time, std::function<void()> write) {
    all.emplace(time, std::move(write));
  }
  void run() {
    for (auto &[time, write] : all)
      write();
  }

private:
  std::multimap<double, std::function<void()>> all; ///< equals in order
};

} // namespace lfmc

#endif // LFMC_CODEGEN_LLVM_MICRO_SCHEDULE_H
