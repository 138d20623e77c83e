// SPDX-License-Identifier: Apache-2.0
#include "tools/lfmc/Predict.h"

#include "codegen/llvm/micro/Micro.h"
#include "dialects/lfm2/Lfm2.h"
#include "frontend/Errors.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Program.h"

#include <regex>

using namespace llvm;

namespace lfmc::cli {
namespace {

/// Multiplications of an instruction on vectors of 128 bits.
int64_t productsOf(StringRef instruction) {
  StringRef name = instruction.split('\t').first.split(' ').first;
  if (name == "smmla" || name == "usmmla")
    return 32;
  if (name == "sdot" || name == "udot" || name == "bfdot")
    return name == "bfdot" ? 8 : 16;
  if (name == "smlal" || name == "smlal2" || name == "smull" ||
      name == "smull2")
    return 8;
  return name == "fmla" || name == "fmul" ? 4 : 0;
}

/// A temporary file's path, removed at the end.
struct Temporary {
  SmallString<128> path;
  explicit Temporary(const char *suffix) {
    if (sys::fs::createTemporaryFile("lfmc-predict", suffix, path))
      path.clear();
  }
  ~Temporary() { sys::fs::remove(path); }
};

Expected<std::string> read(StringRef path) {
  auto file = MemoryBuffer::getFile(path);
  if (!file)
    return makeError("cannot read {}: {}", path.str(),
                     file.getError().message());
  return (*file)->getBuffer().str();
}

/// Cycles of one pass of a loop, by llvm-mca.
/// Instructions that LLVM's model of Oryon lacks, as others that take the same
/// pipes: dot products by lane as by vector, conversions as roundings.
std::string modelled(const std::string &line, StringRef model) {
  if (model != "oryon-1")
    return line;
  static const std::regex lane(R"(\.4b\[[0-3]\])"),
      conversion(R"(^scvtf(\s+v[0-9]+\.4s, v[0-9]+\.4s).*)");
  return std::regex_replace(std::regex_replace(line, lane, ".16b"), conversion,
                            "frintn$1");
}

Expected<double> throughput(ArrayRef<std::string> loop,
                            const std::string &model) {
  auto mca = sys::findProgramByName("llvm-mca-22");
  if (!mca)
    mca = sys::findProgramByName("llvm-mca");
  if (!mca)
    return makeError("predict needs llvm-mca (Debian: llvm-22)");
  Temporary source("s"), output("txt");
  std::error_code code;
  raw_fd_ostream out(source.path, code);
  if (code)
    return makeError("cannot write {}: {}", source.path.str().str(),
                     code.message());
  for (const std::string &line : loop)
    out << modelled(line, model) << "\n";
  out.close();
  constexpr int iterations = 100;
  std::optional<StringRef> redirects[] = {StringRef(""), output.path.str(),
                                          output.path.str()};
  std::string iterationFlag = "-iterations=" + std::to_string(iterations),
              cpu = "-mcpu=" + model;
  int status = sys::ExecuteAndWait(
      *mca,
      {*mca, "-mtriple=aarch64-linux-gnu", "-mattr=+v8.6a", cpu,
       // What else a model lacks counts as nothing.
       "-skip-unsupported-instructions=lack-sched", iterationFlag, source.path},
      std::nullopt, redirects);
  Expected<std::string> text = read(output.path);
  if (!text)
    return text.takeError();
  StringRef rest = *text;
  size_t at = rest.find("Total Cycles:");
  double cycles = 0;
  if (status || at == StringRef::npos ||
      rest.drop_front(at + 13).ltrim().split('\n').first.getAsDouble(cycles))
    return makeError("llvm-mca for {} failed: {}", model,
                     rest.split('\n').first.str());
  return cycles / iterations;
}

} // namespace

std::vector<std::string> hottestLoop(StringRef assembly) {
  StringMap<size_t> labels;
  std::vector<std::string> lines, best;
  SmallVector<StringRef> all;
  assembly.split(all, '\n');
  for (StringRef line : all) {
    line = line.split("//").first.trim();
    if (line.ends_with(":")) {
      labels[line.drop_back()] = lines.size();
      continue;
    }
    if (line.empty() || line.starts_with("."))
      continue;
    lines.push_back(line.str());
    StringRef name = line.split('\t').first;
    if (!name.starts_with("b") && !name.starts_with("cb") &&
        !name.starts_with("tb"))
      continue;
    auto label = labels.find(line.rsplit('\t').second.rsplit(' ').second);
    if (label == labels.end())
      label = labels.find(line.rsplit('\t').second);
    if (label == labels.end())
      continue;
    std::vector<std::string> loop(lines.begin() + label->second,
                                  lines.end() - 1);
    bool innermost = none_of(loop, [](StringRef instruction) {
      return instruction.starts_with("b.") || instruction.starts_with("cbnz");
    });
    if (innermost && multiplications(loop) > multiplications(best))
      best = loop;
  }
  return best;
}

int64_t multiplications(ArrayRef<std::string> loop) {
  int64_t integers = 0, floats = 0;
  for (StringRef instruction : loop) {
    int64_t products = productsOf(instruction);
    (products > 4 ? integers : floats) += products;
  }
  return integers ? integers : floats;
}

Expected<Predictor> Predictor::create(const Target &device) {
  Predictor predictor(device);
  nlohmann::json facts =
      nlohmann::json::parse(device.facts.str(), nullptr, false);
  if (!facts.is_object() || !facts.contains("clusters") ||
      !facts.contains("bandwidth_gbs"))
    return makeError("device {}: nothing is known of its cores and memory "
                     "(clusters, bandwidth_gbs)",
                     device.name.str());
  try {
    for (const auto &one : facts["clusters"])
      predictor.kinds.push_back(
          {one.at("core"), one.at("model"), one.at("cores"), one.at("ghz")});
    predictor.peak = facts["bandwidth_gbs"].get<double>() * 1e9;
  } catch (const nlohmann::json::exception &error) {
    return makeError("device {}: {}", device.name.str(), error.what());
  }
  llvm::sort(predictor.kinds,
             [](const Cluster &a, const Cluster &b) { return a.ghz > b.ghz; });
  return predictor;
}

Expected<double> Predictor::cycles(const Json &params, const std::string &model,
                                   std::vector<std::string> &loops) const {
  auto value = [&](const char *name, int64_t otherwise) {
    return params.contains(name) ? params[name].get<int64_t>() : otherwise;
  };
  const bool quantized = value("block", 0);
  const int64_t k = 1024 / std::max<int64_t>(value("block", 1), 1) *
                    std::max<int64_t>(value("block", 1), 1);
  halide::MicroKernel kernel{quantized ? "linear_q" : "linear",
                             {{"wtype", value("wtype", 0)},
                              {"rows", value("rows", 16)},
                              {"depth", value("depth", 1)},
                              {"panels", 1},
                              {"tokens", value("tokens", 1)},
                              {"k", k},
                              {"swiglu", value("swiglu", 0)}},
                             {}};
  if (quantized) {
    kernel.ints["block"] = value("block", 32);
    if (value("quads", 0))
      kernel.ints["quads"] = 1;
    if (value("group", 0)) // a prompt's: its hot loop has no ends of groups
      kernel.ints["group"] = value("group", 0);
  } else {
    kernel.ints["x_stride"] = k;
    kernel.ints["y_stride"] = value("rows", 16);
    kernel.ints.erase("depth");
    if (value("depth", 1) != 1)
      kernel.ints["depth"] = value("depth", 1);
  }
  std::string key = model;
  for (const auto &[name, number] : kernel.ints)
    key += fmt::format(" {}={}", name, number);
  if (auto it = known.find(key); it != known.end())
    return it->second;
  Temporary file("s");
  std::string message = emitMicro(kernel, "kernel", device,
                                  halide::Emit::Assembly, file.path.c_str());
  if (!message.empty())
    return makeError("kernel {}", message);
  Expected<std::string> text = read(file.path);
  if (!text)
    return text.takeError();
  std::vector<std::string> loop = hottestLoop(*text);
  int64_t products = multiplications(loop);
  if (!products)
    return makeError("found no inner loop in kernel {}", kernel.family);
  Expected<double> one = throughput(loop, model);
  if (!one)
    return one.takeError();
  // Shapes differ, their loops may not.
  std::string line = fmt::format(
      "{}: {} {}, {} tokens: {:.0f} cycles for {} products", model,
      quantized ? "linear" : "linear, not quantized, kind",
      quantized
          ? lfm2::stringifyStoredKind(lfm2::StoredKind(value("wtype", 0))).str()
          : std::to_string(value("wtype", 0)),
      value("tokens", 1), *one, products);
  if (!is_contained(loops, line))
    loops.push_back(line);
  return known[key] = *one / double(products);
}

/// How often each kernel is called in the function `name`.
static StringMap<int64_t> callsIn(const Json &manifest, StringRef name) {
  StringMap<int64_t> calls;
  const Json &function = manifest.at("functions").at(name.str());
  for (const Json &phase : function.at("phases"))
    for (const Json &call : phase)
      ++calls[call.at("kernel").get<std::string>()];
  return calls;
}

Expected<Prediction> Predictor::predict(const Json &manifest, int64_t prompt,
                                        int64_t depth, int64_t cores) const {
  Prediction result;
  // Passes over a token's matrices a second, all cores together.
  double decodeRate = 0, prefillRate = 0;
  int64_t left = cores ? cores : INT64_MAX;
  const bool cut = manifest.at("functions").contains("prompt");
  const StringMap<int64_t> inDecode = callsIn(manifest, "decode"),
                           inPrompt =
                               callsIn(manifest, cut ? "prompt" : "prefill");
  for (const Cluster &cluster : kinds) {
    double decode = 0, prefill = 0; // cycles of a token
    for (const Json &kernel : manifest.at("kernels")) {
      if (kernel.at("generator") != "linear")
        continue;
      const Json &params = kernel.at("params");
      Expected<double> one = cycles(params, cluster.model, result.loops);
      if (!one)
        return one.takeError();
      const std::string name = kernel.at("name");
      const double cost =
          *one * params.at("n").get<double>() * params.at("k").get<double>();
      decode += cost * double(inDecode.lookup(name));
      prefill += cost * double(inPrompt.lookup(name));
    }
    double count = double(std::min(cluster.cores, left));
    left -= int64_t(count);
    decodeRate += count * cluster.ghz * 1e9 / decode;
    prefillRate += count * cluster.ghz * 1e9 / prefill;
  }
  const Json &work = manifest.at("work");
  result.decodeBytes =
      work.at("decode_weight_bytes").get<double>() +
      work.at("decode_cache_bytes_per_position").get<double>() * double(depth);
  double memoryRate = peak * bandwidthShare / result.decodeBytes;
  result.memoryBound = memoryRate < decodeRate;
  result.decode = std::min(memoryRate, decodeRate);
  result.prefill = prefillRate;
  result.firstToken = double(prompt) / prefillRate + 1 / result.decode;
  const Json &sizes = manifest.at("sizes");
  result.memory = sizes.at("weights_bytes").get<double>() +
                  sizes.at("state_bytes").get<double>() +
                  sizes.at("arena_bytes").get<double>();
  return result;
}

} // namespace lfmc::cli
