// SPDX-License-Identifier: Apache-2.0
#include "frontend/JsonFields.h"

#include <cmath>

namespace lfmc {

std::string jsonText(const nlohmann::json &value) {
  if (value.is_structured())
    return fmt::format("{} of {} entries", value.type_name(), value.size());
  using Handler = nlohmann::json::error_handler_t;
  std::string text = value.dump(-1, ' ', false, Handler::replace);
  constexpr size_t limit = 80;
  return text.size() <= limit ? text : text.substr(0, limit) + "…";
}

const nlohmann::json *JsonFields::find(Keys keys, const char **used) const {
  if (!object.is_object())
    return nullptr;
  for (const char *key : keys) {
    auto it = object.find(key);
    if (it == object.end() || it->is_null())
      continue;
    if (used)
      *used = key;
    return &*it;
  }
  return nullptr;
}

std::optional<int64_t> JsonFields::integer(Keys keys, int64_t low,
                                           int64_t high) {
  const char *key = nullptr;
  const nlohmann::json *value = find(keys, &key);
  if (!value)
    return std::nullopt;
  bool fits = value->is_number_integer() &&
              !(value->is_number_unsigned() &&
                value->get<uint64_t>() > uint64_t(INT64_MAX));
  int64_t number = fits ? value->get<int64_t>() : 0;
  if (!fits || number < low || number > high) {
    fail(fmt::format("'{}' is {}, expected an integer from {} to {}", key,
                     jsonText(*value), low, high));
    return std::nullopt;
  }
  return number;
}

int64_t JsonFields::required(Keys keys, int64_t low, int64_t high) {
  if (!find(keys)) {
    fail(fmt::format("no '{}'", *keys.begin()));
    return low;
  }
  return integer(keys, low, high).value_or(low);
}

std::optional<double> JsonFields::number(Keys keys, double low, double high,
                                         bool aboveLow) {
  const char *key = nullptr;
  const nlohmann::json *value = find(keys, &key);
  if (!value)
    return std::nullopt;
  double number = value->is_number() ? value->get<double>() : NAN;
  // Written so that NaN fails.
  bool inRange = (aboveLow ? number > low : number >= low) && number <= high;
  if (!inRange) {
    fail(fmt::format("'{}' is {}, expected a number {} {} and up to {}", key,
                     jsonText(*value), aboveLow ? "above" : "from", low, high));
    return std::nullopt;
  }
  return number;
}

std::optional<bool> JsonFields::boolean(Keys keys) {
  const char *key = nullptr;
  const nlohmann::json *value = find(keys, &key);
  if (!value)
    return std::nullopt;
  if (!value->is_boolean()) {
    fail(fmt::format("'{}' is {}, expected true or false", key,
                     jsonText(*value)));
    return std::nullopt;
  }
  return value->get<bool>();
}

std::optional<std::string> JsonFields::string(Keys keys) {
  const char *key = nullptr;
  const nlohmann::json *value = find(keys, &key);
  if (!value)
    return std::nullopt;
  if (!value->is_string()) {
    fail(fmt::format("'{}' is {}, expected a string", key, jsonText(*value)));
    return std::nullopt;
  }
  return value->get<std::string>();
}

void JsonFields::fail(std::string why) {
  if (failure.empty())
    failure = inQuotes(where) + ": " + std::move(why);
}

llvm::Error JsonFields::takeError() {
  if (failure.empty())
    return llvm::Error::success();
  return makeError("{}", failure);
}

} // namespace lfmc
