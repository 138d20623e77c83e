// SPDX-License-Identifier: Apache-2.0
//
// Records as text, and the name of this machine's processor.
#include "targets/Tuning.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/raw_ostream.h"

#include <cmath>

namespace json = llvm::json;

namespace lfmc {

std::string recordLine(const TuningRecord &record) {
  json::Object choice;
  for (auto &[name, value] : record.choice)
    choice[name] = value;
  std::string line;
  llvm::raw_string_ostream(line)
      << json::Value(json::Object{{"kernel", record.kernel},
                                  {"target", record.target},
                                  {"features", record.features},
                                  {"cpu", record.cpu},
                                  {"family", record.family},
                                  {"version", record.version},
                                  {"choice", std::move(choice)},
                                  {"speedup_one", record.speedupOne},
                                  {"speedup_many", record.speedupMany},
                                  {"gain", record.gain},
                                  {"source", record.source}});
  return line;
}

static bool readRecord(const json::Value &value, TuningRecord &record,
                       json::Path path) {
  json::ObjectMapper map(value, path);
  if (!map || !map.map("kernel", record.kernel) ||
      !map.map("target", record.target) ||
      !map.map("features", record.features) || !map.map("cpu", record.cpu) ||
      !map.map("family", record.family) ||
      !map.map("version", record.version) ||
      !map.map("choice", record.choice) ||
      !map.map("speedup_one", record.speedupOne) ||
      !map.map("speedup_many", record.speedupMany) ||
      !map.map("gain", record.gain) || !map.map("source", record.source))
    return false;
  if (record.gain > 0 && record.speedupOne >= 0 && record.speedupMany >= 0)
    return true;
  path.field("gain").report("expected speed-ups that are not negative");
  return false;
}

llvm::Error forEachLine(llvm::StringRef text, llvm::StringRef where,
                        llvm::function_ref<llvm::Error(llvm::StringRef)> read) {
  for (int number = 1; !text.empty(); ++number) {
    auto [line, rest] = text.split('\n');
    text = rest;
    if (line.trim().empty())
      continue;
    if (llvm::Error error = read(line))
      return llvm::createStringError("%s:%d: %s", where.str().c_str(), number,
                                     llvm::toString(std::move(error)).c_str());
  }
  return llvm::Error::success();
}

llvm::Expected<TuningRecord> parseRecord(llvm::StringRef line) {
  auto fail = [](llvm::Error error) {
    return llvm::createStringError("expected a tuning record: %s",
                                   llvm::toString(std::move(error)).c_str());
  };
  llvm::Expected<json::Value> value = json::parse(line);
  if (!value)
    return fail(value.takeError());
  json::Path::Root root("record");
  TuningRecord record;
  if (!readRecord(*value, record, root))
    return fail(root.getError());
  return record;
}

llvm::Expected<std::vector<TuningRecord>> parseRecords(llvm::StringRef text,
                                                       llvm::StringRef where) {
  std::vector<TuningRecord> records;
  llvm::Error error =
      forEachLine(text, where, [&](llvm::StringRef line) -> llvm::Error {
        llvm::Expected<TuningRecord> record = parseRecord(line);
        if (!record)
          return record.takeError();
        records.push_back(std::move(*record));
        return llvm::Error::success();
      });
  if (error)
    return error;
  return records;
}

std::string cpuFamily(llvm::StringRef model) {
  return model.contains('/') ? model.split('/').first.str() : "";
}

std::string cpuModel() {
  // Not by the compiler's host detection: it maps several models to one name.
  auto file = llvm::MemoryBuffer::getFileAsStream("/proc/cpuinfo");
  return file ? cpuModelOf((*file)->getBuffer()) : "unknown";
}

std::string cpuModelOf(llvm::StringRef cpuinfo) {
  auto field = [&](llvm::StringRef name) {
    llvm::SmallVector<llvm::StringRef, 0> lines;
    cpuinfo.split(lines, '\n');
    for (llvm::StringRef line : lines) {
      auto [key, value] = line.split(':');
      if (key.trim() == name)
        return value.trim();
    }
    return llvm::StringRef();
  };
  if (llvm::StringRef vendor = field("vendor_id"); !vendor.empty())
    return (vendor + " " + field("cpu family") + "/" + field("model") + " " +
            field("model name"))
        .str();
  if (llvm::StringRef part = field("CPU part"); !part.empty())
    return (field("CPU implementer") + "/" + part + " variant " +
            field("CPU variant"))
        .str();
  return "unknown";
}

} // namespace lfmc
