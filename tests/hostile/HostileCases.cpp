// SPDX-License-Identifier: Apache-2.0
#include "HostileCases.h"

#include "frontend/Synth.h"

#include <cstring>
#include <fstream>
#include <stdexcept>

using nlohmann::json;

namespace lfmc::hostile {

const std::vector<Case> &allCases() {
  static const std::vector<Case> cases = [] {
    std::vector<Case> all;
    for (auto part :
         {headerCases, entryCases, fileCases, shardCases, configFileCases,
          configValueCases, tensorCases, tokenizerCases})
      for (Case &entry : part())
        all.push_back(std::move(entry));
    return all;
  }();
  return cases;
}

void writeGood(Base base, const Path &directory) {
  SynthOptions options;
  options.preset = "tiny";
  if (base == Base::Sharded)
    options.maxShardBytes = 200'000;
  if (llvm::Error error = synthesize(options, directory.string()))
    throw std::runtime_error(llvm::toString(std::move(error)));
}

std::string readFile(const Path &path) {
  std::ifstream file(path, std::ios::binary);
  if (!file)
    throw std::runtime_error("cannot read " + path.string());
  return {std::istreambuf_iterator<char>(file), {}};
}

void writeFile(const Path &path, const std::string &contents) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << contents;
  if (!file.flush())
    throw std::runtime_error("cannot write " + path.string());
}

void editJson(const Path &path, const std::function<void(json &)> &edit) {
  json value = json::parse(readFile(path));
  edit(value);
  writeFile(path, value.dump(1));
}

void replaceInFile(const Path &path, const std::string &from,
                   const std::string &to) {
  std::string text = readFile(path);
  size_t at = text.find(from);
  if (at == std::string::npos)
    throw std::runtime_error("no '" + from + "' in " + path.string());
  writeFile(path, text.replace(at, from.size(), to));
}

RawFile readRaw(const Path &path) {
  std::string text = readFile(path);
  RawFile file;
  std::memcpy(&file.length, text.data(), 8);
  file.header = text.substr(8, file.length);
  file.data = text.substr(8 + file.length);
  return file;
}

void writeRaw(const Path &path, const RawFile &file) {
  std::string length(8, '\0');
  std::memcpy(length.data(), &file.length, 8);
  writeFile(path, length + file.header + file.data);
}

void editHeader(const Path &path,
                const std::function<std::string(std::string)> &edit) {
  RawFile file = readRaw(path);
  file.header = edit(file.header);
  file.length = file.header.size();
  writeRaw(path, file);
}

void editHeaderJson(const Path &path, const std::function<void(json &)> &edit) {
  editHeader(path, [&](const std::string &text) {
    json header = json::parse(text);
    edit(header);
    return header.dump();
  });
}

void editTensors(const Path &path, const std::function<void(Tensors &)> &edit) {
  RawFile file = readRaw(path);
  Tensors tensors;
  json header = json::parse(file.header);
  for (const auto &[name, entry] : header.items()) {
    if (name == "__metadata__")
      continue;
    size_t begin = entry["data_offsets"][0], end = entry["data_offsets"][1];
    tensors[name] = {entry["dtype"], entry["shape"],
                     file.data.substr(begin, end - begin)};
  }
  edit(tensors);
  header = json::object();
  file.data.clear();
  for (const auto &[name, tensor] : tensors) {
    size_t begin = file.data.size();
    file.data += tensor.data;
    header[name] = {{"dtype", tensor.dtype},
                    {"shape", tensor.shape},
                    {"data_offsets", {begin, file.data.size()}}};
  }
  file.header = header.dump();
  file.length = file.header.size();
  writeRaw(path, file);
}

} // namespace lfmc::hostile
