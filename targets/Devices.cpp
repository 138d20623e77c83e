// SPDX-License-Identifier: Apache-2.0
#include "targets/Devices.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/StringSaver.h"
#include "llvm/TargetParser/AArch64TargetParser.h"

#include <mutex>

using namespace llvm;

namespace lfmc {

StringRef kept(StringRef text) {
  static std::mutex mutex;
  static BumpPtrAllocator memory;
  static StringSaver saver(memory);
  std::lock_guard lock(mutex);
  return saver.save(text);
}

namespace {

template <typename... Values>
Error fail(StringRef name, const char *format, const Values &...values) {
  return createStringError(("device %s: " + Twine(format)).str().c_str(),
                           name.str().c_str(), values...);
}

Expected<StringRef> text(const json::Object &facts, StringRef name,
                         const char *key) {
  std::optional<StringRef> value = facts.getString(key);
  if (!value || value->empty())
    return fail(name, "expected a text '%s'", key);
  return *value;
}

Expected<std::vector<std::string>> list(const json::Object &facts,
                                        StringRef name, const char *key) {
  std::vector<std::string> values;
  const json::Array *array = facts.getArray(key);
  if (!array)
    return fail(name, "expected a list '%s'", key);
  for (const json::Value &value : *array) {
    std::optional<StringRef> item = value.getAsString();
    if (!item)
      return fail(name, "expected texts in '%s'", key);
    values.push_back(item->str());
  }
  return values;
}

} // namespace

Expected<Target> readDevice(StringRef contents, StringRef name,
                            ArrayRef<StringRef> added) {
  Expected<json::Value> parsed = json::parse(contents);
  if (!parsed)
    return fail(name, "%s", toString(parsed.takeError()).c_str());
  const json::Object *facts = parsed->getAsObject();
  if (!facts)
    return fail(name, "expected a JSON object");
  Target target{};
  StringRef values[4];
  const char *keys[] = {"name", "summary", "family", "cpu"};
  for (int i = 0; i < 4; ++i) {
    Expected<StringRef> value = text(*facts, name, keys[i]);
    if (!value)
      return value.takeError();
    values[i] = *value;
  }
  auto features = list(*facts, name, "features");
  if (!features)
    return features.takeError();
  auto optional = list(*facts, name, "optional");
  if (!optional)
    return optional.takeError();
  std::string full = values[0].str();
  for (StringRef feature : added) {
    if (is_contained(*features, feature))
      continue;
    if (!is_contained(*optional, feature)) {
      std::string has =
          "features: " + (features->empty() ? "none" : join(*features, ", "));
      if (!optional->empty())
        has += "; it may have: " + join(*optional, ", ");
      return createStringError("target %s lacks the feature '%s' (%s)",
                               values[0].str().c_str(), feature.str().c_str(),
                               has.c_str());
    }
    features->push_back(feature.str());
    full += "+" + feature.str();
  }
  for (auto [key, bytes] : {std::pair("l1_kib", &target.l1Bytes),
                            std::pair("l2_kib", &target.l2Bytes)}) {
    std::optional<int64_t> value = facts->getInteger(key);
    if (!value || *value < 1 || *value > 1 << 20)
      return fail(name, "expected '%s' from 1 to 1048576", key);
    *bytes = *value << 10;
  }
  target.name = kept(full);
  target.summary = kept(values[1]);
  target.cpu = kept(values[3]);
  target.facts = kept(contents);
  const bool arm = values[2] == "arm64";
  if (!arm && values[2] != "hexagon")
    return fail(name, "unknown family '%s', expected arm64 or hexagon",
                values[2].str().c_str());
  if (arm && values[3] != "generic" && !AArch64::parseCpu(values[3]))
    return fail(name,
                "unknown 'cpu' '%s', expected one of clang "
                "--print-supported-cpus --target=aarch64",
                values[3].str().c_str());
  auto describe = arm ? describeArm64 : describeHexagon;
  if (Error error = describe(target, *facts, *features))
    return error;
  return target;
}

} // namespace lfmc
