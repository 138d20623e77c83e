// SPDX-License-Identifier: Apache-2.0
//
// Typed, range-checked access to the fields of a JSON object. A key whose value
// is null counts as absent, as in the configs that transformers writes.
#ifndef LFMC_FRONTEND_JSONFIELDS_H
#define LFMC_FRONTEND_JSONFIELDS_H

#include "frontend/Errors.h"

#include <nlohmann/json.hpp>

#include <initializer_list>
#include <optional>
#include <string>

namespace lfmc {

/// Collects the first failure, so that a reader of many fields checks once.
class JsonFields {
public:
  using Keys = std::initializer_list<const char *>;

  /// Fields of `object`, which `where` names in messages.
  JsonFields(const nlohmann::json &object, llvm::StringRef where)
      : object(object), where(where) {
    if (!object.is_object())
      fail(fmt::format("found {}, expected an object", object.type_name()));
  }

  /// The value of the first of `keys` that is present, or null. `used` receives
  /// the key.
  const nlohmann::json *find(Keys keys, const char **used = nullptr) const;
  bool has(const char *key) const { return find({key}) != nullptr; }

  /// The integer under the first present key; an error when it is no integer in
  /// [low, high].
  std::optional<int64_t> integer(Keys keys, int64_t low, int64_t high);
  /// As integer(), an error when all keys are absent.
  int64_t required(Keys keys, int64_t low, int64_t high);
  /// The number under the first present key; must be finite and lie in
  /// [low, high], or in (low, high] with `aboveLow`.
  std::optional<double> number(Keys keys, double low, double high,
                               bool aboveLow = false);
  std::optional<bool> boolean(Keys keys);
  std::optional<std::string> string(Keys keys);

  /// Records "WHERE: WHY" unless a failure is recorded already.
  void fail(std::string why);
  bool failed() const { return !failure.empty(); }
  /// The recorded failure, or success.
  llvm::Error takeError();

private:
  const nlohmann::json &object;
  std::string where;
  std::string failure;
};

/// `value` as short text for messages.
std::string jsonText(const nlohmann::json &value);

} // namespace lfmc

#endif // LFMC_FRONTEND_JSONFIELDS_H
