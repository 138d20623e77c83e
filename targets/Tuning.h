// SPDX-License-Identifier: Apache-2.0
//
// What may be tuned: a kernel family declares parameters and their values next
// to its provider; a tuner chooses among them when kernels are selected. The
// preset of every parameter is what the provider takes by itself.
#ifndef LFMC_TARGETS_TUNING_H
#define LFMC_TARGETS_TUNING_H

#include "targets/Target.h"

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace lfmc {

/// The two kernels that read a weight. They share its layout.
enum class Phase : uint8_t { One = 1, Many = 2 };
inline constexpr Phase phases[] = {Phase::One, Phase::Many};
llvm::StringRef phaseName(Phase phase); ///< "one", "many"

/// Values by parameter: "rows" -> 32.
using Choice = std::map<std::string, int64_t>;

struct Parameter {
  std::string name;
  std::vector<int64_t> values; ///< ascending, the preset among them
  int64_t preset;
  uint8_t uses; ///< of Phase: the kernels that it changes

  bool changes(Phase phase) const { return uses & uint8_t(phase); }
};

/// The parameters of one weight's kernels. Those of both phases come first.
struct Space {
  /// What the kernels compute: "linear n=2048 k=2048 q4/32 residual". Equal
  /// names have equal spaces on one target.
  std::string kernel;
  std::vector<Parameter> parameters;
  /// Combinations that make sense; null: all.
  std::function<bool(const Choice &)> allowed;

  /// Adds a parameter; values that are no multiple of 1 are the caller's care.
  /// Duplicates are dropped, the preset is added.
  Space &add(std::string name, std::vector<int64_t> values, int64_t preset,
             uint8_t uses);
  const Parameter *find(llvm::StringRef name) const;
  Choice preset() const;
  /// Whether `choice` has a listed value for each parameter, and no other.
  bool contains(const Choice &choice) const;
  /// All choices for the kernel of `phase`, the preset first; the other
  /// phase's own parameters stay at their presets.
  std::vector<Choice> choices(Phase phase) const;
};

/// Chooses. Without one, providers take the presets.
class Tuner {
public:
  virtual ~Tuner();
  /// A choice that `space` contains.
  virtual Choice choose(const Space &space) const = 0;
};

/// `tuner`'s choice, or the preset without one.
Choice choose(const Tuner *tuner, const Space &space);

/// A choice that was measured and won.
struct TuningRecord {
  std::string kernel;      ///< Space::kernel
  std::string target;      ///< Target::name
  std::string features;    ///< tuningFeatures(target)
  std::string cpu, family; ///< cpuModel(), cpuFamily() of the device
  int version = 0;         ///< of the generated kernels
  Choice choice;
  /// Time of the preset's kernel over the choice's; 0: not measured.
  double speedupOne = 0, speedupMany = 0;
  double gain = 1;    ///< both, by their share of the steps
  std::string source; ///< "local", "ssh:host", "qemu", …: how it was measured
};

/// What of a target decides whether a record fits.
std::string tuningFeatures(const Target &target);

/// The processor of this machine: "AuthenticAMD 26/2 AMD EPYC" and, without
/// model, "AuthenticAMD 26". "unknown" where it cannot be read.
std::string cpuModel();
std::string cpuModelOf(llvm::StringRef cpuinfo); ///< of /proc/cpuinfo
std::string cpuFamily(llvm::StringRef model);

/// Calls `read` with each line of `text` that is not blank, until one fails:
/// its message comes back behind "where:number: ".
llvm::Error forEachLine(llvm::StringRef text, llvm::StringRef where,
                        llvm::function_ref<llvm::Error(llvm::StringRef)> read);

/// Reads a JSON object.
llvm::Expected<TuningRecord> parseRecord(llvm::StringRef line);
/// Reads records, one JSON object a line. Errors name `where` and the line.
llvm::Expected<std::vector<TuningRecord>> parseRecords(llvm::StringRef text,
                                                       llvm::StringRef where);
std::string recordLine(const TuningRecord &record); ///< without line break

/// The records that lfmc brings along (targets/records/*.jsonl).
llvm::StringRef shippedRecords();

/// Chooses the best record for a device, else for its family, else the preset.
class TuningTable : public Tuner {
public:
  /// Keeps the records that fit target and version and were measured on `cpu`
  /// or its family (scores that are no times, and families without a name, do
  /// not count). Of several for a kernel the one with the greatest gain.
  TuningTable(const std::vector<TuningRecord> &records, const Target &target,
              llvm::StringRef cpu, int version);

  Choice choose(const Space &space) const override;
  /// The record for a kernel, or null.
  const TuningRecord *find(llvm::StringRef kernel) const;
  bool empty() const { return table.empty(); }
  /// Changes when a choice changes.
  std::string fingerprint() const;

  /// What the kernels that were asked for got, so far.
  enum class Origin { Device, Family, Preset };
  const std::map<std::string, Origin> &origins() const { return asked; }
  const std::string &cpu() const { return device; }

private:
  std::string device;
  std::map<std::string, TuningRecord, std::less<>> table;
  mutable std::map<std::string, Origin>
      asked; // a log: choices do not depend on it
};

} // namespace lfmc

#endif // LFMC_TARGETS_TUNING_H
