// SPDX-License-Identifier: Apache-2.0
//
// Where candidates are measured: this machine, another one by ssh, an Android
// device by adb, or an emulator with a model of a core.
#ifndef LFMC_CODEGEN_TUNE_DEVICE_H
#define LFMC_CODEGEN_TUNE_DEVICE_H

#include "targets/Target.h"

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace lfmc::tune {

/// What became of a candidate.
enum class Status {
  Measured,
  Uncompiled, ///< the compiler refused it
  Wrong,      ///< other numbers than the reference
  Crashed,
  Hung,
  Lost,        ///< the device did not answer: says nothing of the candidate
  Interrupted, ///< Ctrl-C
};
llvm::StringRef statusName(Status status); ///< "measured", "wrong", …
std::optional<Status> parseStatus(llvm::StringRef name);

struct Outcome {
  Status status = Status::Lost;
  std::string message; ///< why, unless Measured
  /// Time of the candidate over that of the preset, measured in turn.
  double ratio = 0;
  double candidateNs = 0, presetNs = 0; ///< of a call; on qemu cycles or
                                        ///< instructions
  double drift = 1;         ///< of the preset's time, from first to last
  double gigahertz[2] = {}; ///< before and after
  int threads = 0;
  int64_t tokens = 0; ///< of a call; 0: not known
};

class Device {
public:
  virtual ~Device();

  /// Runs the measuring program `program` with the job in `job`, both files on
  /// this machine, for at most `limitSeconds`.
  virtual Outcome run(const std::string &program, const std::string &job,
                      unsigned limitSeconds) = 0;
  /// /proc/cpuinfo of the device.
  virtual llvm::Expected<std::string> cpuinfo() = 0;
  /// "local", "ssh:host", "adb:serial", "qemu", "qemu:core".
  virtual std::string name() const = 0;
  /// Whether compiling meanwhile on this machine disturbs it.
  virtual bool isLocal() const { return false; }
};

/// `name`: local; ssh:[user@]host, by $LFMC_SSH (ssh -o BatchMode=yes);
/// adb:[serial], by $LFMC_ADB (adb); qemu[:CORE]: what a processor of
/// `target`'s architecture would do, by $LFMC_QEMU (qemu-ARCH -cpu max), the
/// plugin `library`/libicount.so and LLVM's model of CORE (CoreModel.h). CORE
/// is the first one of the target's device file if there is one; without any,
/// instructions count alone. These are no times: records from there are marked
/// and never used by themselves.
llvm::Expected<std::unique_ptr<Device>>
openDevice(llvm::StringRef name, const Target *target = nullptr,
           llvm::StringRef library = "");

/// For Device.cpp and DeviceQemu.cpp: words of an environment variable, and
/// what the way to a device tells of a run (`lost`: the exit code that means
/// that the way itself failed).
struct Ended;
std::vector<std::string> commandOf(const char *variable,
                                   const std::string &otherwise);
Outcome outcomeOf(const Ended &ended, int lost);
llvm::Expected<std::unique_ptr<Device>>
openQemu(llvm::StringRef core, const Target *target, llvm::StringRef library);

/// Set by the handler of Ctrl-C; run() then ends early.
extern volatile bool interrupted;

/// Reads what the measuring program printed.
Outcome parseOutput(llvm::StringRef text);

} // namespace lfmc::tune

#endif // LFMC_CODEGEN_TUNE_DEVICE_H
