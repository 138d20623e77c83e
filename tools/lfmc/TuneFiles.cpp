// SPDX-License-Identifier: Apache-2.0
//
// lfmc tune's files: plans of jobs, records and measurements.
#include "tools/lfmc/TuneFlags.h"

#include "frontend/Errors.h"
#include "frontend/Json.h"
#include "frontend/SafeTensorsWriter.h"

#include "llvm/Support/raw_ostream.h"

using namespace llvm;

namespace lfmc::cli {

Error writePlan(const TuneFlags &flags, const std::vector<PlannedTask> &tasks) {
  std::string text;
  for (const PlannedTask &planned : tasks)
    text += Json({{"kernel", planned.task.kernel},
                  {"target", planned.target},
                  {"share", planned.task.share}})
                .dump() +
            "\n";
  return writeFileAtomically(flags.plan, text);
}

/// {"kernel", "share"} as plans and manifests have it; throws.
static tune::Task taskOf(const Json &json) {
  tune::Task task;
  task.kernel = json.at("kernel");
  for (size_t p : {0, 1})
    task.share[p] = json.at("share").at(p);
  return task;
}

Expected<TunableKernels> readKernels(const Json &manifest,
                                     const std::string &model) {
  try {
    TunableKernels found{manifest.at("target").at("name"), {}};
    if (manifest.contains("tuning"))
      for (const Json &kernel : manifest.at("tuning"))
        found.tasks.push_back(taskOf(kernel));
    return found;
  } catch (const nlohmann::json::exception &error) {
    return makeError("{}: expected kernels in \"tuning\" of the manifest: {}",
                     model, jsonErrorText(error));
  }
}

Expected<PlannedTask> readPlanned(const std::string &path, int number) {
  auto file = openRegularFile(path, 16 << 20);
  if (!file)
    return file.takeError();
  SmallVector<StringRef> lines;
  (*file)->getBuffer().split(lines, '\n', -1, /*KeepEmpty=*/false);
  if (size_t(number) > lines.size())
    return makeError("{}: expected a job between 1 and {}, found {}", path,
                     lines.size(), number);
  const std::string where = fmt::format("{}:{}", path, number);
  Expected<nlohmann::json> json = parseJson(lines[size_t(number) - 1], where);
  if (!json)
    return json.takeError();
  try {
    return PlannedTask{json->at("target"), taskOf(*json)};
  } catch (const nlohmann::json::exception &error) {
    return makeError("{}: expected a job: {}", where, jsonErrorText(error));
  }
}

Expected<int> exchangeTuning(const TuneFlags &flags) {
  Expected<tune::Database> database =
      tune::Database::open(flags.database, flags.imported.empty());
  if (!database)
    return database.takeError();
  for (const std::string &path : flags.imported) {
    auto file = openRegularFile(path, uint64_t(1) << 30);
    if (!file)
      return file.takeError();
    Expected<tune::TuningLines> lines =
        tune::parseLines((*file)->getBuffer(), path);
    if (!lines)
      return lines.takeError();
    for (const TuningRecord &record : lines->records)
      if (Error error = database->add(record, /*onlyBetter=*/true))
        return error;
    for (const tune::Measurement &m : lines->measurements)
      if (Error error = database->add(m))
        return error;
    outs() << fmt::format("{}: {} records, {} measurements\n", path,
                          lines->records.size(), lines->measurements.size());
  }
  std::string text;
  if (!flags.exported.empty()) {
    Expected<std::vector<TuningRecord>> records = database->records();
    if (!records)
      return records.takeError();
    for (const TuningRecord &record : *records)
      text += recordLine(record) + "\n";
    if (Error error = writeFileAtomically(flags.exported, text))
      return error;
  }
  if (!flags.traced.empty()) {
    Expected<std::vector<tune::Measurement>> all = database->measurements();
    if (!all)
      return all.takeError();
    text.clear();
    for (const tune::Measurement &m : *all)
      text += tune::measurementLine(m) + "\n";
    if (Error error = writeFileAtomically(flags.traced, text))
      return error;
  }
  return 0;
}

} // namespace lfmc::cli
