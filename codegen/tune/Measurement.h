// SPDX-License-Identifier: Apache-2.0
//
// A candidate's result, as it is kept.
#ifndef LFMC_CODEGEN_TUNE_MEASUREMENT_H
#define LFMC_CODEGEN_TUNE_MEASUREMENT_H

#include "codegen/tune/Device.h"
#include "targets/Tuning.h"

#include <vector>

namespace lfmc::tune {

/// What records and measurements are valid for.
struct Setting {
  std::string target, features; ///< Target::name, tuningFeatures()
  std::string cpu;              ///< cpuModel() of the device
  int version = 0;              ///< kernelVersion()
  std::string source;           ///< Device::name()

  bool operator==(const Setting &) const = default;
};

struct Measurement {
  Setting setting;
  std::string kernel; ///< Space::kernel
  Phase phase = Phase::One;
  Choice choice;
  Outcome outcome;
};

/// As one JSON object, without line break.
std::string measurementLine(const Measurement &measurement);

/// What `lfmc tune` exchanges: lines that are records or measurements.
struct TuningLines {
  std::vector<TuningRecord> records;
  std::vector<Measurement> measurements;
};

/// Errors name `where` and the line.
llvm::Expected<TuningLines> parseLines(llvm::StringRef text,
                                       llvm::StringRef where);

} // namespace lfmc::tune

#endif // LFMC_CODEGEN_TUNE_MEASUREMENT_H
