// SPDX-License-Identifier: Apache-2.0
//
// Malformed checkpoints: each case is a good tiny checkpoint and a mutation of
// its files. The library test and the tool test share the table.
#ifndef LFMC_TESTS_HOSTILE_HOSTILECASES_H
#define LFMC_TESTS_HOSTILE_HOSTILECASES_H

#include <nlohmann/json.hpp>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace lfmc::hostile {

/// The good checkpoint that a case starts from.
enum class Base { Single, Sharded };

/// Where the error must be found.
enum class Stage { Checkpoint, Tokenizer, Values };

struct Case {
  std::string name; // letters and digits
  Stage stage = Stage::Checkpoint;
  Base base = Base::Single;
  /// Turns the copy of the good checkpoint in this directory into the bad one.
  std::function<void(const std::filesystem::path &)> mutate;
  /// Every one of these must be in the error message.
  std::vector<std::string> message;
};

/// For GoogleTest's messages.
inline void PrintTo(const Case &entry, std::ostream *out) {
  *out << entry.name;
}

/// All cases; names are unique.
const std::vector<Case> &allCases();

/// Writes the good checkpoint of `base` to `directory`.
void writeGood(Base base, const std::filesystem::path &directory);

// Parts of allCases().
std::vector<Case> headerCases();
std::vector<Case> entryCases();
std::vector<Case> fileCases();
std::vector<Case> shardCases();
std::vector<Case> configFileCases();
std::vector<Case> configValueCases();
std::vector<Case> tensorCases();
std::vector<Case> tokenizerCases();

// Tools for mutations. All throw std::runtime_error on failure.

using Path = std::filesystem::path;
std::string readFile(const Path &path);
void writeFile(const Path &path, const std::string &contents);
/// Parses, edits and writes a JSON file.
void editJson(const Path &path,
              const std::function<void(nlohmann::json &)> &edit);
/// Replaces the first `from` in a file, which must be there.
void replaceInFile(const Path &path, const std::string &from,
                   const std::string &to);

/// A safetensors file in two parts.
struct RawFile {
  std::string header, data;
  /// Header length field as written; by default the true one.
  uint64_t length = 0;
};
RawFile readRaw(const Path &path);
void writeRaw(const Path &path, const RawFile &file);
/// Replaces the header of a safetensors file, keeping its data.
void editHeader(const Path &path,
                const std::function<std::string(std::string)> &edit);
void editHeaderJson(const Path &path,
                    const std::function<void(nlohmann::json &)> &edit);

/// A tensor in memory.
struct Tensor {
  std::string dtype;
  std::vector<int64_t> shape;
  std::string data;
};
using Tensors = std::map<std::string, Tensor>;
/// Rewrites a file with edited tensors: a well-formed file with other contents.
void editTensors(const Path &path, const std::function<void(Tensors &)> &edit);

} // namespace lfmc::hostile

#endif // LFMC_TESTS_HOSTILE_HOSTILECASES_H
