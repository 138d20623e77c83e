// SPDX-License-Identifier: Apache-2.0
//
// Sharded checkpoints whose index or shards are wrong.
#include "HostileCases.h"

using nlohmann::json;

namespace lfmc::hostile {
namespace {

constexpr const char *indexFile = "model.safetensors.index.json";
constexpr const char *norm = "model.embedding_norm.weight"; // in the last shard
constexpr const char *firstTensor = "model.embed_tokens.weight";

Case with(const char *name, std::function<void(const Path &)> mutate,
          std::vector<std::string> message) {
  return {name, Stage::Checkpoint, Base::Sharded, std::move(mutate),
          std::move(message)};
}

Case index(const char *name, std::function<void(json &)> edit,
           std::vector<std::string> message) {
  message.push_back(indexFile);
  return with(
      name, [edit](const Path &dir) { editJson(dir / indexFile, edit); },
      std::move(message));
}

/// Points the entry of the final norm to another file.
Case entry(const char *name, json value, std::vector<std::string> message) {
  message.push_back(norm);
  return index(
      name, [value](json &i) { i["weight_map"][norm] = value; },
      std::move(message));
}

Path shardOf(const Path &dir, const char *tensor) {
  json map = json::parse(readFile(dir / indexFile))["weight_map"];
  return dir / map[tensor].get<std::string>();
}

} // namespace

std::vector<Case> shardCases() {
  return {
      with("ShardMissing",
           [](const Path &dir) { std::filesystem::remove(shardOf(dir, norm)); },
           {"shard", "is missing"}),
      with("ShardEmpty",
           [](const Path &dir) { writeFile(shardOf(dir, norm), ""); },
           {"model-0000", "is empty"}),
      with("ShardTruncated",
           [](const Path &dir) {
             Path shard = shardOf(dir, firstTensor);
             std::filesystem::resize_file(
                 shard, std::filesystem::file_size(shard) - 5);
           },
           {"model-00001", "data ends at"}),
      with("ShardIsADirectory",
           [](const Path &dir) {
             Path shard = shardOf(dir, norm);
             std::filesystem::remove(shard);
             std::filesystem::create_directory(shard);
           },
           {"model-0000", "is not a regular file"}),
      with("ShardTensorWithoutEntry",
           [](const Path &dir) {
             editJson(dir / indexFile, [](json &i) {
               i["weight_map"].erase("model.layers.0.ffn_norm.weight");
             });
           },
           {"model.layers.0.ffn_norm.weight", "has no entry in"}),
      with("ShardsShareATensor",
           [](const Path &dir) {
             Path from = shardOf(dir, firstTensor), to = shardOf(dir, norm);
             Tensor copy;
             editTensors(from, [&](Tensors &t) {
               copy = t.at("model.layers.0.operator_norm.weight");
             });
             editTensors(to, [&](Tensors &t) {
               t["model.layers.0.operator_norm.weight"] = copy;
             });
           },
           {"model.layers.0.operator_norm.weight", "is both in"}),
      index("IndexEntryWithoutTensor",
            [](json &i) {
              i["weight_map"]["model.extra"] = i["weight_map"][norm];
            },
            {"tensor 'model.extra' is not in its shard"}),
      entry("IndexEntryOfOtherShard", "model-00001-of-00003.safetensors", {}),
      entry("IndexEntryIsNumber", 2, {"is number, expected a file name"}),
      entry("IndexEntryIsEmpty", "", {"without a directory"}),
      entry("IndexEntryClimbs", "../model.safetensors",
            {"'../model.safetensors'", "without a directory"}),
      entry("IndexEntryIsAbsolute", "/dev/zero",
            {"'/dev/zero'", "without a directory"}),
      entry("IndexEntryIsDotDot", "..", {"without a directory"}),
      entry("IndexEntryHasBackslash", "..\\model.safetensors",
            {"without a directory"}),
      entry("IndexEntryHasNul", std::string("a\0b.safetensors", 15),
            {"without a directory"}),
      index("IndexWithoutMap", [](json &i) { i.erase("weight_map"); },
            {"no 'weight_map' object"}),
      index("IndexMapIsArray",
            [](json &i) { i["weight_map"] = json::array({"a"}); },
            {"no 'weight_map' object"}),
      index("IndexMapIsEmpty",
            [](json &i) { i["weight_map"] = json::object(); },
            {"no 'weight_map' object"}),
      index("IndexIsArray", [](json &i) { i = json::array(); },
            {"no 'weight_map' object"}),
      with("IndexTruncated",
           [](const Path &dir) {
             std::string text = readFile(dir / indexFile);
             writeFile(dir / indexFile, text.substr(0, text.size() / 2));
           },
           {indexFile, "invalid JSON"}),
      with("IndexKeyTwice",
           [](const Path &dir) {
             replaceInFile(dir / indexFile, "\"weight_map\": {",
                           std::string("\"weight_map\": {\"") + norm +
                               "\": \"x.safetensors\",");
           },
           {indexFile, "duplicate key", norm}),
      with("IndexTooDeep",
           [](const Path &dir) {
             writeFile(dir / indexFile, std::string(1'000'000, '['));
           },
           {indexFile, "nesting deeper than 32"}),
      with("IndexEmpty",
           [](const Path &dir) { writeFile(dir / indexFile, ""); },
           {indexFile, "is empty"}),
  };
}

} // namespace lfmc::hostile
