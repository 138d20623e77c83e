// SPDX-License-Identifier: Apache-2.0
#include "targets/Tuning.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/xxhash.h"

#include <algorithm>

namespace lfmc {

llvm::StringRef phaseName(Phase phase) {
  return phase == Phase::One ? "one" : "many";
}

Space &Space::add(std::string name, std::vector<int64_t> values, int64_t preset,
                  uint8_t uses) {
  values.push_back(preset);
  llvm::sort(values);
  values.erase(llvm::unique(values), values.end());
  parameters.push_back({std::move(name), std::move(values), preset, uses});
  return *this;
}

const Parameter *Space::find(llvm::StringRef name) const {
  for (const Parameter &parameter : parameters)
    if (parameter.name == name)
      return &parameter;
  return nullptr;
}

Choice Space::preset() const {
  Choice choice;
  for (const Parameter &parameter : parameters)
    choice[parameter.name] = parameter.preset;
  return choice;
}

bool Space::contains(const Choice &choice) const {
  if (choice.size() != parameters.size())
    return false;
  for (const Parameter &parameter : parameters) {
    auto it = choice.find(parameter.name);
    if (it == choice.end() || !llvm::is_contained(parameter.values, it->second))
      return false;
  }
  return !allowed || choice == preset() || allowed(choice);
}

std::vector<Choice> Space::choices(Phase phase) const {
  std::vector<Choice> all = {preset()};
  for (const Parameter &parameter : parameters) {
    if (!parameter.changes(phase))
      continue;
    std::vector<Choice> wider;
    for (const Choice &choice : all)
      for (int64_t value : parameter.values) {
        wider.push_back(choice);
        wider.back()[parameter.name] = value;
      }
    all = std::move(wider);
  }
  llvm::erase_if(all, [&](const Choice &choice) { return !contains(choice); });
  auto first = llvm::find(all, preset());
  std::rotate(all.begin(), first, first + 1);
  return all;
}

Tuner::~Tuner() = default;

Choice choose(const Tuner *tuner, const Space &space) {
  return tuner ? tuner->choose(space) : space.preset();
}

std::string tuningFeatures(const Target &target) {
  return (target.triple + " " + target.cpu + " " + target.features).str();
}

TuningTable::TuningTable(const std::vector<TuningRecord> &records,
                         const Target &target, llvm::StringRef cpu, int version)
    : device(cpu) {
  const std::string family = cpuFamily(cpu);
  auto rank = [&](const TuningRecord &record) {
    return std::pair(record.cpu == cpu, record.gain);
  };
  for (const TuningRecord &record : records) {
    if (record.target != target.name || record.version != version ||
        record.features != tuningFeatures(target) || record.gain <= 1 ||
        llvm::StringRef(record.source).starts_with("qemu") ||
        (record.cpu != cpu && (family.empty() || record.family != family)))
      continue;
    auto [it, fresh] = table.emplace(record.kernel, record);
    if (!fresh && rank(record) > rank(it->second))
      it->second = record;
  }
}

const TuningRecord *TuningTable::find(llvm::StringRef kernel) const {
  auto it = table.find(kernel);
  return it == table.end() ? nullptr : &it->second;
}

Choice TuningTable::choose(const Space &space) const {
  const TuningRecord *record = find(space.kernel);
  if (record && !space.contains(record->choice))
    record = nullptr;
  asked[space.kernel] = !record                 ? Origin::Preset
                        : record->cpu == device ? Origin::Device
                                                : Origin::Family;
  return record ? record->choice : space.preset();
}

std::string TuningTable::fingerprint() const {
  std::string text;
  for (auto &[kernel, record] : table) {
    text += kernel;
    for (auto &[name, value] : record.choice)
      text += " " + name + "=" + llvm::itostr(value);
  }
  return text.empty() ? "" : llvm::utohexstr(llvm::xxh3_64bits(text));
}

} // namespace lfmc
