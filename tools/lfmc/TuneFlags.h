// SPDX-License-Identifier: Apache-2.0
//
// lfmc tune: its parts and what they share.
#ifndef LFMC_TOOLS_LFMC_TUNEFLAGS_H
#define LFMC_TOOLS_LFMC_TUNEFLAGS_H

#include "codegen/tune/Database.h"
#include "codegen/tune/Session.h"
#include "tools/lfmc/Cache.h"

namespace CLI {
class App;
} // namespace CLI

namespace lfmc::cli {

struct TuneFlags {
  CompileFlags compile;
  std::string model, device = "local", database, strategy = "guided";
  std::string budget = "10m", cpu;
  std::string exported, traced, plan, job, output, report;
  std::vector<std::string> imported;
  tune::SessionOptions session;
  bool resume = false;
};

/// How and where is measured, and what is found shown.
void addMeasuringFlags(CLI::App &command, TuneFlags &flags);
/// What is read and written without measuring, and jobs of a plan.
void addExchangeFlags(CLI::App &command, TuneFlags &flags);

/// Seconds of "90", "90s", "10m", "2h".
llvm::Expected<double> parseDuration(llvm::StringRef text);

/// What a plan file lists; its lines are {"kernel", "target", "share"}.
struct PlannedTask {
  std::string target;
  tune::Task task;
};
llvm::Error writePlan(const TuneFlags &flags,
                      const std::vector<PlannedTask> &tasks);
/// Line `number`, from 1, of the plan.
llvm::Expected<PlannedTask> readPlanned(const std::string &path, int number);

/// What a manifest says of kernels that can be tuned, and of their target.
/// Errors name `model`.
struct TunableKernels {
  std::string target;
  std::vector<tune::Task> tasks;
};
llvm::Expected<TunableKernels> readKernels(const Json &manifest,
                                           const std::string &model);

/// --import and --export: no model.
llvm::Expected<int> exchangeTuning(const TuneFlags &flags);

/// Prints default against tuned per kernel and writes the plot of convergence.
llvm::Error reportTuning(const TuneFlags &flags,
                         const std::vector<tune::Task> &tasks,
                         const tune::Setting &setting,
                         tune::Database &database);

} // namespace lfmc::cli

#endif // LFMC_TOOLS_LFMC_TUNEFLAGS_H
