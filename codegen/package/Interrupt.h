// SPDX-License-Identifier: Apache-2.0
//
// Leaving nothing behind when a signal ends the process.
//
// One directory at a time can be under way. The handler removes it until it is
// gone: other threads may still write into it, but they cannot make it again,
// because what makes, renames or forgets it holds an InterruptLock.
#ifndef LFMC_CODEGEN_PACKAGE_INTERRUPT_H
#define LFMC_CODEGEN_PACKAGE_INTERRUPT_H

#include "llvm/ADT/StringRef.h"

#include <csignal>
#include <system_error>

namespace lfmc {

/// Makes SIGINT, SIGTERM and SIGHUP (unless the process ignores it, as under
/// nohup) remove the directory under way and LLVM's files under way, then leave
/// with 128 + the signal's number. Call it before threads are started.
void leaveOnInterrupts();

/// Does not return once such a signal has come; its handler ends the process.
/// Call it before an error is reported or the process ends by one: another
/// thread may see the removal as an error.
void waitIfInterrupted();

/// While it lives, no handler of leaveOnInterrupts() begins to remove, in any
/// thread. Held for single system calls; not recursive.
class InterruptLock {
public:
  InterruptLock();
  ~InterruptLock();
  InterruptLock(const InterruptLock &) = delete;
  InterruptLock &operator=(const InterruptLock &) = delete;

private:
  sigset_t before;
};

/// Makes the directory `path`, absolute, whose parent exists; from then on it
/// is under way.
std::error_code createTransient(llvm::StringRef path);

/// Says that the directory under way has the name `path` now. Under a lock.
void renameTransient(llvm::StringRef path);

/// Says that nothing is under way. Under a lock.
void forgetTransient();

} // namespace lfmc

#endif // LFMC_CODEGEN_PACKAGE_INTERRUPT_H
