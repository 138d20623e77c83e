// SPDX-License-Identifier: Apache-2.0
#include "targets/Target.h"
#include "tools/lfmc/Commands.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <cstdio>

namespace lfmc::cli {
namespace {

using Json = nlohmann::ordered_json;

std::string names(const Json &facts, const char *key) {
  return fmt::format(
      "{}", fmt::join(facts[key].get<std::vector<std::string>>(), ", "));
}

/// How far a target's packages were tried, by the project's tests.
std::string state(const Target &target, const Json &facts) {
  if (!facts.is_null())
    return facts["tested"] == "checked"
               ? "checked, not run"
               : "run under " + facts["tested"].get<std::string>();
  if (&target == &hostTarget())
    return "this machine, 'host'";
  return runsOnHost(target) ? "" : "not this machine";
}

void print(const Target &target, const Json &facts) {
  std::string text =
      fmt::format("{:<20} {}", target.name.str(), target.summary.str());
  std::string how = state(target, facts);
  if (!how.empty())
    text += " (" + how + ")";
  std::puts(text.c_str());
  if (facts.is_null())
    return;
  auto line = [&](const std::string &name, const std::string &value) {
    if (!value.empty())
      std::puts(fmt::format("{:<20}   {}: {}", "", name, value).c_str());
  };
  line("features", names(facts, "features"));
  line("may have", names(facts, "optional"));
  for (const auto &[name, source] : facts["sources"].items())
    line(name + " from", source.get<std::string>());
}

} // namespace

void addTargets(CLI::App &app, Action &action) {
  CLI::App *command = app.add_subcommand("targets", "list the targets");
  auto json = std::make_shared<bool>(false);
  command->add_flag("--json", *json, "machine-readable");
  command->callback([json, &action] {
    action = [json]() -> llvm::Expected<int> {
      Json all = Json::array();
      for (const Target &target : allTargets()) {
        Json facts; // null: none of its own
        if (!target.facts.empty())
          facts = Json::parse(target.facts.str());
        if (!*json) {
          print(target, facts);
          continue;
        }
        Json row = {{"name", target.name.str()},
                    {"summary", target.summary.str()},
                    {"triple", target.triple.str()},
                    {"state", state(target, facts)}};
        if (!facts.is_null())
          row.update(facts);
        all.push_back(row);
      }
      if (*json)
        std::puts(all.dump(2).c_str());
      return 0;
    };
  });
}

} // namespace lfmc::cli
