// SPDX-License-Identifier: Apache-2.0
#include "tools/lfmc/InspectText.h"

#include "tools/lfmc/ExpertCoverage.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <map>
#include <set>

namespace lfmc::cli {
namespace {

std::string bytesText(double bytes) {
  const char *units[] = {"B", "KiB", "MiB", "GiB"};
  int unit = 0;
  for (; bytes >= 1024 && unit < 3; ++unit)
    bytes /= 1024;
  return unit ? fmt::format("{:.1f} {}", bytes, units[unit])
              : fmt::format("{:.0f} {}", bytes, units[unit]);
}

std::string shapeText(const Json &shape) {
  std::string text;
  for (const Json &size : shape)
    text += (text.empty() ? "" : "x") + std::to_string(size.get<int64_t>());
  return text;
}

std::string layoutText(const Json &layout) {
  if (layout.is_null() || (layout["rows"] == 1 && layout["depth"] == 1))
    return "row-major";
  return fmt::format("panels {}x{}{}{}", layout["rows"].get<int64_t>(),
                     layout["depth"].get<int64_t>(),
                     layout["halves"].get<bool>() ? ", halves" : "",
                     layout.value("raised", false) ? ", raised" : "");
}

class Inspection {
public:
  Inspection(const Json &manifest) : manifest(manifest) {
    for (const Json &kernel : manifest.at("kernels"))
      kernels[kernel.at("name").get<std::string>()] = &kernel;
    for (const auto &[name, function] : manifest.at("functions").items())
      for (const Json &phase : function.at("phases"))
        for (const Json &call : phase)
          addCall(name, call);
  }

  std::string text(const std::string &function, bool full);

private:
  void addCall(const std::string &function, const Json &call);
  void model();
  void layers();
  void memory();
  void arena(const std::string &name, bool full);
  void coverage();

  const Json &manifest;
  std::string out;
  std::map<std::string, const Json *> kernels;
  // Kernels by the weight or state they work on, as "decode: linear_1f…".
  std::map<std::string, std::vector<std::string>> users;
  int64_t calls = 0, fallbacks = 0;
};

void Inspection::addCall(const std::string &function, const Json &call) {
  std::string kernel = call.at("kernel").get<std::string>();
  ++calls;
  auto found = kernels.find(kernel);
  if (found != kernels.end() && found->second->at("fallback").get<bool>())
    ++fallbacks;
  for (const Json &buffer : call.at("buffers"))
    if (buffer.contains("name")) {
      std::string use = function + " " + kernel;
      auto &list = users[buffer["name"].get<std::string>()];
      if (std::find(list.begin(), list.end(), use) == list.end())
        list.push_back(use);
    }
}

void Inspection::model() {
  const Json &m = manifest.at("model");
  out += fmt::format(
      "{}: {} with {} parameters, for {}, by {}\n",
      manifest.at("name").get<std::string>(), m.at("type").get<std::string>(),
      m.at("parameters").get<int64_t>(),
      fmt::join(
          manifest.at("target").at("levels").get<std::vector<std::string>>(),
          ", "),
      manifest.at("compiler").get<std::string>());
  out += fmt::format(
      "  {} layers ({} convolution, {} attention), hidden {}, "
      "FFN {}, heads {}/{} of {}, vocabulary {}\n",
      m.at("layers").get<int64_t>(), m.at("conv_layers").get<int64_t>(),
      m.at("attention_layers").get<int64_t>(),
      m.at("hidden_size").get<int64_t>(), m.at("ffn_width").get<int64_t>(),
      m.at("heads").get<int64_t>(), m.at("kv_heads").get<int64_t>(),
      m.at("head_dim").get<int64_t>(), m.at("vocab_size").get<int64_t>());
  out += fmt::format("  context {}, prompt steps of {} tokens\n",
                     manifest.at("options").at("max_context").get<int64_t>(),
                     manifest.at("options").at("max_prefill").get<int64_t>());
}

// Groups weights and states by layer; what belongs to none comes under "model".
void Inspection::layers() {
  std::map<int64_t, std::vector<const Json *>> groups;
  for (const char *table : {"weights", "states"})
    for (const Json &row : manifest.at(table))
      groups[layerOf(row.at("name").get<std::string>())].push_back(&row);
  const Json &types = manifest.at("model").at("layer_types");
  for (const auto &[layer, rows] : groups) {
    double bytes = 0;
    for (const Json *row : rows)
      bytes += row->at("bytes").get<double>();
    std::string title = "model";
    if (layer >= 0)
      title = fmt::format("layer {}, {}", layer,
                          layer < int64_t(types.size())
                              ? types[layer].get<std::string>()
                              : "?");
    out += fmt::format("\n{}: {}\n", title, bytesText(bytes));
    for (const Json *row : rows) {
      std::string name = row->at("name").get<std::string>();
      bool weight = row->contains("format");
      out += fmt::format("  {:<18} {:<14} {:<24} {:>10}\n", name,
                         weight ? shapeText(row->at("shape")) : "state",
                         weight ? row->at("format").get<std::string>() + ", " +
                                      layoutText(row->at("layout"))
                                : (row->at("bytes_per_token") == 0
                                       ? "recurrent"
                                       : "grows with the text"),
                         bytesText(row->at("bytes").get<double>()));
      for (const std::string &user : users[name])
        out += fmt::format("      {}\n", user);
    }
  }
}

void Inspection::memory() {
  const Json &sizes = manifest.at("sizes");
  auto bytes = [&](const char *key) {
    return bytesText(sizes.at(key).get<double>());
  };
  out += fmt::format("\nmemory: weights {} (mapped), state {} a session ({} a "
                     "token), arena {}, tokenizer {}\n",
                     bytes("weights_bytes"), bytes("state_bytes"),
                     bytes("state_bytes_per_token"), bytes("arena_bytes"),
                     bytes("tokenizer_bytes"));
}

// One line per phase; a buffer is drawn from the phase that writes it first to
// the one that uses it last. '#': written now, '=': read now, '-': kept.
void Inspection::arena(const std::string &name, bool full) {
  if (!manifest.at("functions").contains(name))
    return;
  const Json &phases = manifest.at("functions").at(name).at("phases");
  struct Block {
    int64_t offset, end;
    size_t first, last;
  };
  // Lifetimes, by overlap: slices of a buffer belong to it. A write to memory
  // that no block holds just then begins a new block.
  std::vector<Block> blocks;
  int64_t size = 1;
  for (size_t phase = 0; phase < phases.size(); ++phase)
    for (const Json &call : phases[phase])
      for (const Json &buffer : call.at("buffers")) {
        if (buffer.at("space") != "arena")
          continue;
        int64_t offset = buffer.at("offset").get<int64_t>();
        int64_t end = offset + buffer.at("bytes").get<int64_t>();
        size = std::max(size, end);
        auto held = std::find_if(
            blocks.rbegin(), blocks.rend(), [&](const Block &block) {
              return block.offset <= offset && end <= block.end;
            });
        bool fresh = buffer.at("written").get<bool>() &&
                     (held == blocks.rend() || held->first < phase);
        if (fresh || held == blocks.rend())
          blocks.push_back({offset, end, phase, phase});
        else
          held->last = phase;
      }
  constexpr int64_t width = 64;
  size_t shown = full ? phases.size() : std::min<size_t>(24, phases.size());
  out += fmt::format("\narena of @{}, {} in {} columns; '#' written, '=' read, "
                     "'-' kept\n",
                     name, bytesText(double(size)), width);
  for (size_t phase = 0; phase < shown; ++phase) {
    std::string line(width, '.');
    auto fill = [&](int64_t offset, int64_t end, char mark) {
      int64_t from = offset * width / size;
      int64_t to = std::max(from + 1, (end * width + size - 1) / size);
      for (int64_t i = from; i < to && i < width; ++i)
        line[i] = mark;
    };
    for (const Block &block : blocks)
      if (block.first <= phase && phase <= block.last)
        fill(block.offset, block.end, '-');
    std::string names;
    for (const Json &call : phases[phase]) {
      for (const Json &buffer : call.at("buffers"))
        if (buffer.at("space") == "arena")
          fill(buffer["offset"].get<int64_t>(),
               buffer["offset"].get<int64_t>() + buffer["bytes"].get<int64_t>(),
               buffer["written"].get<bool>() ? '#' : '=');
      names +=
          (names.empty() ? "" : ", ") + call.at("kernel").get<std::string>();
    }
    out += fmt::format("  {:>4} |{}| {}\n", phase, line, names);
  }
  if (shown < phases.size())
    out += fmt::format("  … {} more phases (--full)\n", phases.size() - shown);
}

void Inspection::coverage() {
  out += fmt::format("\n{} of {} kernel calls use the fallback\n", fallbacks,
                     calls);
  for (const auto &[name, kernel] : kernels)
    if (kernel->at("fallback").get<bool>())
      out += fmt::format("  {}: {} calls\n", name,
                         kernel->at("calls").get<int64_t>());
}

std::string Inspection::text(const std::string &function, bool full) {
  model();
  layers();
  memory();
  const Json &options = manifest.at("options");
  if (options.contains("quantization"))
    out += coverageTable(options["quantization"]);
  arena(function, full);
  coverage();
  return std::move(out);
}

} // namespace

std::string inspectText(const Json &manifest, const std::string &function,
                        bool full) {
  return Inspection(manifest).text(function, full);
}

} // namespace lfmc::cli
