// SPDX-License-Identifier: Apache-2.0
#include "tools/lfmc/ExpertCoverage.h"

#include "codegen/quantize/Calibration.h"

#include <fmt/format.h>

#include <algorithm>

namespace lfmc::cli {
namespace {

const Json *coverageOf(const Json &quantization) {
  if (!quantization.is_object() || !quantization.contains("calibration") ||
      !quantization["calibration"].is_object() ||
      !quantization["calibration"].contains("experts"))
    return nullptr;
  return &quantization["calibration"]["experts"];
}

} // namespace

std::string coverageSummary(const Json &quantization) {
  const Json *layers = coverageOf(quantization);
  if (!layers)
    return "";
  std::vector<int64_t> all;
  int64_t unseen = 0, few = 0;
  for (const Json &layer : *layers) {
    for (int64_t tokens : layer.at("tokens"))
      all.push_back(tokens);
    unseen += layer.at("unseen").get<int64_t>();
    few += layer.at("too_few").get<int64_t>();
  }
  std::sort(all.begin(), all.end());
  std::string text = fmt::format(
      "calibration of {} experts in {} layers: {} to {} tokens an "
      "expert, median {}",
      all.size(), layers->size(), all.front(), all.back(), all[all.size() / 2]);
  if (few)
    text += fmt::format("; {} unseen and {} with fewer than {} tokens are "
                        "quantized by their weights alone",
                        unseen, few - unseen, Calibration::leastTokens);
  return text + "\n";
}

std::string coverageTable(const Json &quantization) {
  const Json *layers = coverageOf(quantization);
  if (!layers)
    return "";
  std::string text = "\n" + coverageSummary(quantization) +
                     "layer  least  median   most  unseen  too few\n";
  for (const Json &layer : *layers) {
    auto number = [&](const char *key) { return layer.at(key).get<int64_t>(); };
    int64_t most = 0;
    for (int64_t tokens : layer.at("tokens"))
      most = std::max(most, tokens);
    text += fmt::format("{:5}  {:5}  {:6}  {:5}  {:6}  {:7}\n", number("layer"),
                        number("least"), number("median"), most,
                        number("unseen"), number("too_few"));
  }
  return text;
}

} // namespace lfmc::cli
