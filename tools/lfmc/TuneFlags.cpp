// SPDX-License-Identifier: Apache-2.0
#include "tools/lfmc/TuneFlags.h"

#include "frontend/Errors.h"

#include <CLI/CLI.hpp>

#include <cmath>
#include <tuple>

using namespace llvm;

namespace lfmc::cli {

Expected<double> parseDuration(StringRef text) {
  StringRef rest = text;
  double unit = 1, value = 0;
  if (rest.consume_back("h"))
    unit = 3600;
  else if (rest.consume_back("m"))
    unit = 60;
  else
    rest.consume_back("s");
  if (rest.getAsDouble(value) || !std::isfinite(value) || value <= 0)
    return makeError("expected a duration like 90s, 10m or 1h, found {}",
                     inQuotes(text));
  return value * unit;
}

void addMeasuringFlags(CLI::App &command, TuneFlags &flags) {
  const std::tuple<const char *, std::string *, const char *> texts[] = {
      {"--device", &flags.device,
       "where to measure: local, ssh:[user@]host, adb:[serial], or qemu[:CORE] "
       "for cycles that LLVM models (local)"},
      {"--budget", &flags.budget, "time to spend: 90s, 10m, 1h (10m)"},
      {"--database", &flags.database,
       "file of measurements and records (tuning.sqlite in the cache)"},
      {"--report", &flags.report,
       "measure no kernel: print what was found, plot convergence to this SVG "
       "file"}};
  for (auto [name, value, text] : texts)
    command.add_option(name, *value, text);
  command
      .add_option("--strategy", flags.strategy,
                  "guided, climb or random (guided)")
      ->check(CLI::IsMember({"guided", "climb", "random"}));
  command.add_flag("--resume", flags.resume,
                   "use what was measured before instead of measuring again");
  tune::MeasureOptions &measure = flags.session.measure;
  command.add_option("--seed", flags.session.seed, "of the search (1)");
  command.add_option("--most", flags.session.most,
                     "candidates of a kernel at most");
  command.add_option("--threads", measure.threads,
                     "threads that run a kernel (all of the device)");
  command
      .add_option("--tokens", measure.tokens,
                  "tokens of a many-token kernel's call (512)")
      ->check(CLI::Range(2, 1 << 16));
  command
      .add_option("--seconds", measure.seconds,
                  "of timing for one candidate (0.3)")
      ->check(CLI::Range(0.01, 60.0));
}

void addExchangeFlags(CLI::App &command, TuneFlags &flags) {
  const std::tuple<const char *, std::string *, const char *> texts[] = {
      {"--export", &flags.exported,
       "write all records, one JSON object a line"},
      {"--export-measurements", &flags.traced,
       "write all measurements, one JSON object a line"},
      {"--plan", &flags.plan, "measure nothing: write one job a line"},
      {"--job", &flags.job, "PLAN:NUMBER: do one job of a plan, results to -o"},
      {"-o,--output", &flags.output, "results of --job"}};
  for (auto [name, value, text] : texts)
    command.add_option(name, *value, text);
  command
      .add_option("--import,--merge", flags.imported,
                  "add records and measurements of such files; of two records "
                  "for a kernel the one that gains more stays")
      ->check(CLI::ExistingFile);
}

} // namespace lfmc::cli
