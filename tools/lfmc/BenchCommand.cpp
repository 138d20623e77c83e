// SPDX-License-Identifier: Apache-2.0
#include "tools/lfmc/Commands.h"
#include "tools/lfmc/CompileFlags.h"
#include "tools/lfmc/Loader.h"
#include "tools/lfmc/Progress.h"
#include "tools/lfmc/Roofline.h"

#include "frontend/Errors.h"

#include "llvm/Support/MemoryBuffer.h"

#include <chrono>
#include <cstdio>
#include <random>

using namespace llvm;

namespace lfmc::cli {
namespace {

struct Flags {
  CompileFlags compile;
  std::string path;
  std::vector<int> prefill = {128, 512};
  int decode = 64, threads = 0, repeat = 3;
  bool roofline = false, json = false, read = false;
};

/// Several measurements of one thing.
struct Samples {
  std::vector<double> values;

  double median() const {
    std::vector<double> sorted = values;
    llvm::sort(sorted);
    size_t n = sorted.size();
    return n == 0  ? 0
           : n % 2 ? sorted[n / 2]
                   : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
  }
  double lowest() const {
    return values.empty() ? 0 : *llvm::min_element(values);
  }
  double highest() const {
    return values.empty() ? 0 : *llvm::max_element(values);
  }
  Json json() const {
    return {{"median", median()}, {"min", lowest()}, {"max", highest()}};
  }
};

double now() {
  return std::chrono::duration<double>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// A field of /proc/self/status in bytes; 0 where there is none.
uint64_t statusBytes(StringRef field) {
  auto file = MemoryBuffer::getFileAsStream("/proc/self/status");
  if (!file)
    return 0;
  uint64_t kilobytes = 0;
  StringRef text = (*file)->getBuffer();
  size_t at = text.find(("\n" + field + ":").str());
  if (at == StringRef::npos)
    return 0;
  text = text.drop_front(at + field.size() + 2).ltrim();
  text.consumeInteger(10, kilobytes);
  return kilobytes * 1024;
}

class Bench {
public:
  explicit Bench(const Flags &flags) : flags(flags) {}
  Error run(const std::string &package);
  Json report() const;
  void print() const;

private:
  Error measurePrefill(int tokens);
  Error measureDecode();
  std::vector<int32_t> prompt(int tokens) const;

  const Flags &flags;
  Model model;
  Session session;
  uint64_t baseAnonymous = 0, anonymous = 0, file = 0, peak = 0;
  double sessionSeconds = 0;
  std::map<int, Samples> prefill, firstToken; // by prompt length
  Samples decode;                             // tokens per second
  double bandwidth = 0, flops = 0;
};

std::vector<int32_t> Bench::prompt(int tokens) const {
  std::mt19937 random(1);
  std::vector<int32_t> result(tokens);
  for (int32_t &token : result)
    token = int32_t(random() % uint32_t(model.info.vocab_size));
  return result;
}

// With the logits of the last token: the time until the first token of an
// answer could be chosen.
Error Bench::measurePrefill(int tokens) {
  std::vector<int32_t> ids = prompt(tokens);
  std::vector<float> logits(model.info.vocab_size);
  for (int i = -1; i < flags.repeat; ++i) { // the first warms up
    lfm_session_reset(session.get());
    double start = now();
    if (Error error = session.check(lfm_session_prefill(
            session.get(), ids.data(), ids.size(), logits.data())))
      return error;
    double seconds = now() - start;
    if (i < 0)
      continue;
    prefill[tokens].values.push_back(tokens / seconds);
    firstToken[tokens].values.push_back(seconds);
  }
  return Error::success();
}

Error Bench::measureDecode() {
  std::vector<int32_t> ids = prompt(flags.decode + 1);
  for (int i = -1; i < flags.repeat; ++i) {
    lfm_session_reset(session.get());
    if (Error error =
            session.check(lfm_session_decode(session.get(), ids[0], nullptr)))
      return error;
    double start = now();
    for (int t = 1; t <= flags.decode; ++t)
      if (Error error =
              session.check(lfm_session_decode(session.get(), ids[t], nullptr)))
        return error;
    if (i >= 0)
      decode.values.push_back(flags.decode / (now() - start));
  }
  return Error::success();
}

Error Bench::run(const std::string &package) {
  baseAnonymous = statusBytes("RssAnon");
  Expected<Model> opened = openModel(package, flags.read ? LFM_MODEL_READ : 0);
  if (!opened)
    return opened.takeError();
  model = std::move(*opened);
  double start = now();
  Expected<Session> created = createSession(model, flags.threads);
  if (!created)
    return created.takeError();
  session = std::move(*created);
  sessionSeconds = now() - start;
  for (int tokens : flags.prefill)
    if (tokens > model.info.max_context)
      return makeError("a prompt of {} tokens does not fit the context of {}",
                       tokens, model.info.max_context);
  if (flags.decode + 1 > model.info.max_context)
    return makeError("{} tokens do not fit the context of {}", flags.decode + 1,
                     model.info.max_context);
  {
    Progress progress;
    uint64_t steps = flags.prefill.size() + 1, step = 0;
    for (int tokens : flags.prefill) {
      progress.update("bench", step++, steps);
      if (Error error = measurePrefill(tokens))
        return error;
    }
    progress.update("bench", step, steps);
    if (flags.decode)
      if (Error error = measureDecode())
        return error;
  }
  anonymous = statusBytes("RssAnon");
  file = statusBytes("RssFile");
  peak = statusBytes("VmHWM");
  if (!flags.roofline)
    return Error::success();
  int threads = lfm_session_threads(session.get());
  Expected<double> measured =
      measureReadBandwidth(threads, uint64_t(1) << 30, 7);
  if (!measured)
    return measured.takeError();
  bandwidth = *measured;
  flops = measureFmaPeak(threads, 5);
  return Error::success();
}

Json Bench::report() const {
  const Json &work = model.manifest.at("work");
  double weightBytes = work.at("decode_weight_bytes").get<double>();
  double cacheBytes = work.at("decode_cache_bytes_per_position").get<double>() *
                      (flags.decode / 2.0 + 1);
  Json json = {{"name", model.info.name},
               {"target", model.info.target},
               {"threads", lfm_session_threads(session.get())},
               {"repeat", flags.repeat},
               {"open_seconds", model.openSeconds},
               {"session_seconds", sessionSeconds},
               {"rss",
                {{"peak_bytes", peak},
                 {"anonymous_bytes", anonymous},
                 {"anonymous_bytes_before_open", baseAnonymous},
                 {"file_bytes", file}}}};
  for (const auto &[tokens, samples] : prefill) {
    double perToken = work.at("prefill_flops_per_token").get<double>();
    double pairs = tokens * (tokens + 1.0) / 2;
    double operations =
        tokens * perToken +
        pairs * work.at("prefill_flops_per_pair").get<double>() +
        work.at("head_flops_per_row").get<double>();
    Json row = {{"tokens", tokens},
                {"tokens_per_second", samples.json()},
                {"first_token_seconds", firstToken.at(tokens).json()},
                {"flops_per_second", samples.median() / tokens * operations}};
    if (flops > 0)
      row["share_of_fma_peak"] = samples.median() / tokens * operations / flops;
    json["prefill"].push_back(row);
  }
  if (flags.decode) {
    double bytesPerSecond = decode.median() * (weightBytes + cacheBytes);
    json["decode"] = {{"tokens", flags.decode},
                      {"tokens_per_second", decode.json()},
                      {"bytes_per_token", weightBytes + cacheBytes},
                      {"bytes_per_second", bytesPerSecond}};
    if (bandwidth > 0)
      json["decode"]["share_of_bandwidth"] = bytesPerSecond / bandwidth;
  }
  if (flags.roofline)
    json["roofline"] = {{"read_bytes_per_second", bandwidth},
                        {"fma_flops_per_second", flops},
                        {"vector_bits", fmaVectorBits()}};
  return json;
}

void Bench::print() const {
  Json json = report();
  auto put = [](const std::string &line) { std::puts(line.c_str()); };
  auto spread = [](const Json &s) {
    return fmt::format("{:9.2f} tok/s  ({:.2f} .. {:.2f})",
                       s["median"].get<double>(), s["min"].get<double>(),
                       s["max"].get<double>());
  };
  put(fmt::format("{} for {}, {} threads", model.info.name, model.info.target,
                  json["threads"].get<int>()));
  if (json.contains("prefill"))
    for (const Json &row : json["prefill"]) {
      std::string line = fmt::format(
          "prefill {:>5}  {}  first token {:.1f} ms, {:.1f} GFLOP/s",
          row["tokens"].get<int>(), spread(row["tokens_per_second"]),
          1e3 * row["first_token_seconds"]["median"].get<double>(),
          row["flops_per_second"].get<double>() / 1e9);
      if (row.contains("share_of_fma_peak"))
        line += fmt::format(" = {:.1f} % of the FMA peak",
                            100 * row["share_of_fma_peak"].get<double>());
      put(line);
    }
  if (json.contains("decode")) {
    const Json &row = json["decode"];
    std::string line =
        fmt::format("decode  {:>5}  {}  {:.2f} GB/s", flags.decode,
                    spread(row["tokens_per_second"]),
                    row["bytes_per_second"].get<double>() / 1e9);
    if (row.contains("share_of_bandwidth"))
      line += fmt::format(" = {:.1f} % of the read bandwidth",
                          100 * row["share_of_bandwidth"].get<double>());
    put(line);
  }
  put(fmt::format("open {:.2f} ms, session {:.2f} ms", 1e3 * model.openSeconds,
                  1e3 * sessionSeconds));
  put(fmt::format(
      "memory: peak {:.1f} MiB; anonymous {:.1f} MiB ({:.1f} before "
      "opening), mapped files {:.1f} MiB",
      double(peak) / (1 << 20), double(anonymous) / (1 << 20),
      double(baseAnonymous) / (1 << 20), double(file) / (1 << 20)));
  if (flags.roofline)
    put(fmt::format("machine: {:.2f} GB/s read, {:.1f} GFLOP/s f32 "
                    "multiply-add ({} bits)",
                    bandwidth / 1e9, flops / 1e9, fmaVectorBits()));
}

Expected<int> bench(const Flags &flags) {
  Expected<std::string> package = packageOf(flags.path, flags.compile);
  if (!package)
    return package.takeError();
  Bench bench(flags);
  if (Error error = bench.run(*package))
    return error;
  if (flags.json)
    std::puts(bench.report().dump(2).c_str());
  else
    bench.print();
  return 0;
}

} // namespace

void addBench(CLI::App &app, Action &action) {
  auto flags = std::make_shared<Flags>();
  CLI::App *command = app.add_subcommand("bench", "measure speed and memory");
  command->add_option("model", flags->path, "package or checkpoint")
      ->required();
  // --prefill of the compile flags would be another thing: none of them here.
  command
      ->add_option("--prefill", flags->prefill, "lengths of prompts (128,512)")
      ->delimiter(',')
      ->check(CLI::PositiveNumber);
  command
      ->add_option("--decode", flags->decode, "tokens to decode (64); 0: none")
      ->check(CLI::NonNegativeNumber);
  command->add_option("--threads", flags->threads, "threads (all processors)")
      ->check(CLI::Range(1, 256));
  command->add_option("--repeat", flags->repeat, "measurements of each (3)")
      ->check(CLI::Range(1, 1000));
  command->add_flag("--roofline", flags->roofline,
                    "measure the machine as well, and print the shares of it");
  command->add_flag("--read", flags->read,
                    "read the weights into memory instead of mapping them");
  command->add_flag("--json", flags->json, "machine-readable");
  command->add_option("--target", flags->compile.target,
                      "for a checkpoint: processor to compile for");
  command
      ->add_option("--weights", flags->compile.weights,
                   "for a checkpoint: format of stored matrices")
      ->check(CLI::IsMember({"f32", "bf16", "f16"}));
  command->callback(
      [flags, &action] { action = [flags] { return bench(*flags); }; });
}

} // namespace lfmc::cli
