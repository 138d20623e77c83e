// SPDX-License-Identifier: Apache-2.0
#include "tools/lfmc-run/Run.h"

#include "codegen/reference/CheckpointWeights.h"
#include "codegen/reference/GoldenCheck.h"
#include "dialects/Register.h"
#include "frontend/Errors.h"
#include "frontend/ImportLfm2.h"
#include "frontend/SafeTensorsWriter.h"
#include "passes/Passes.h"

#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"
#include "llvm/Support/FileSystem.h"

#include <algorithm>
#include <numeric>
#include <optional>

using namespace mlir;
using namespace lfmc;

namespace {

/// Rows of a run, by the names of the goldens.
using Rows = std::map<std::string, HostTensor>;

void append(Rows &rows, const std::string &name, const HostTensor &more) {
  auto [entry, fresh] = rows.try_emplace(name, more);
  if (fresh)
    return;
  HostTensor &all = entry->second;
  all.shape[0] += more.shape[0];
  all.data.insert(all.data.end(), more.data.begin(), more.data.end());
}

class Runner {
public:
  Runner(const RunOptions &options, llvm::raw_ostream &out)
      : options(options), out(out), context(registry()) {}

  llvm::Expected<bool> run() {
    if (llvm::Error error = load())
      return error;
    if (llvm::Error error = runPasses())
      return error;
    auto model = ReferenceModel::create(
        *module, [this](lfm2::WeightOp weight, MutableArrayRef<float> values) {
          if (!checkpoint)
            return makeError("the module's weights need --checkpoint DIR");
          return readCheckpointWeight(*checkpoint, weight, values);
        });
    if (!model)
      return model.takeError();
    if (!options.check.empty())
      return check(**model);
    Rows rows;
    if (llvm::Error error = step(**model, rows))
      return error;
    print(rows.at("logits"));
    if (!options.dumpHidden.empty())
      if (llvm::Error error = dump(rows))
        return error;
    return true;
  }

private:
  static const DialectRegistry &registry() {
    static DialectRegistry dialects = [] {
      DialectRegistry result;
      registerLfmcDialects(result);
      registerLfmcPasses();
      return result;
    }();
    return dialects;
  }

  llvm::Error load() {
    bool directory = llvm::sys::fs::is_directory(options.input);
    std::string weights = directory ? options.input : options.checkpoint;
    if (!weights.empty()) {
      auto opened = Checkpoint::open(weights);
      if (!opened)
        return opened.takeError();
      checkpoint.emplace(std::move(*opened));
    }
    if (!directory) {
      module = parseSourceFile<ModuleOp>(options.input, &context);
      return module ? llvm::Error::success()
                    : makeError("{} is no valid module", options.input);
    }
    ImportOptions import;
    if (!options.weights.empty())
      import.weights = lfm2::symbolizeStoredKind(options.weights);
    import.maxContext =
        options.maxContext
            ? options.maxContext
            : std::min<int64_t>(2048,
                                checkpoint->config().maxPositionEmbeddings);
    import.maxPrefill = import.maxContext;
    if (!options.kvCache.empty())
      import.cache = *lfm2::symbolizeStoredKind(options.kvCache);
    module = importLfm2(context, *checkpoint, import);
    return module ? llvm::Error::success()
                  : makeError("{} cannot be imported", options.input);
  }

  llvm::Error runPasses() {
    if (options.passes.empty())
      return llvm::Error::success();
    PassManager passes(&context);
    if (failed(parsePassPipeline(options.passes, passes)))
      return makeError("no valid pass pipeline: {}", options.passes);
    if (failed(passes.run(*module)))
      return makeError("the pass pipeline failed");
    return llvm::Error::success();
  }

  llvm::Expected<bool> check(ReferenceModel &model) {
    auto goldens = SafeTensors::open(options.check);
    if (!goldens)
      return goldens.takeError();
    std::vector<TapName> taps = tapNames(*module);
    model.setTaps(locations(taps));
    auto report = checkGoldens(model, taps, *goldens, options.tolerance,
                               options.chunk, options.maxTokens);
    if (!report)
      return report.takeError();
    for (const CheckReport::Line &line : report->lines)
      out << fmt::format("{} {:<28} {:.2e} (limit {:.0e})\n",
                         line.worst <= line.limit ? "ok  " : "FAIL", line.name,
                         line.worst, line.limit);
    out << (report->passed() ? "passed\n" : "failed\n");
    return report->passed();
  }

  static std::vector<std::string> locations(ArrayRef<TapName> taps) {
    std::vector<std::string> result;
    for (const TapName &tap : taps)
      result.push_back(tap.location);
    return result;
  }

  template <typename Read>
  static auto fromFile(const std::string &text, Read read)
      -> decltype(read(std::declval<const SafeTensors &>(), StringRef())) {
    auto [path, key] = StringRef(text).rsplit(':');
    if (key.empty())
      return makeError("expected FILE.safetensors:KEY, found {}",
                       inQuotes(text));
    auto file = SafeTensors::open(path);
    if (!file)
      return file.takeError();
    return read(*file, key);
  }

  llvm::Error step(ReferenceModel &model, Rows &rows) {
    if (options.function == "head") {
      if (options.hiddenFile.empty())
        return makeError("--function head needs --hidden-file");
      auto hidden = fromFile(options.hiddenFile, readFloats);
      if (!hidden)
        return hidden.takeError();
      auto logits = model.head(*hidden);
      if (!logits)
        return logits.takeError();
      append(rows, "logits", *logits);
      return llvm::Error::success();
    }
    std::vector<int32_t> ids = options.tokens;
    if (!options.tokensFile.empty()) {
      auto read = fromFile(options.tokensFile, readIds);
      if (!read)
        return read.takeError();
      ids = std::move(*read);
    }
    if (ids.empty())
      return makeError("expected --tokens or --tokens-file");
    std::vector<TapName> taps;
    if (!options.dumpHidden.empty())
      taps = tapNames(*module);
    model.setTaps(locations(taps));
    bool decode = options.function == "decode";
    int64_t chunk = decode ? 1 : options.chunk ? options.chunk : ids.size();
    for (ArrayRef<int32_t> left = ids; !left.empty();
         left = left.drop_front(std::min<size_t>(chunk, left.size()))) {
      auto result = decode ? model.decode(left.front())
                           : model.prefill(left.take_front(chunk));
      if (!result)
        return result.takeError();
      for (const TapName &tap : taps)
        if (auto found = model.taps().find(tap.location);
            found != model.taps().end())
          append(rows, tap.golden, found->second);
      if (!decode) {
        append(rows, "hidden", *result);
        result = model.head(*result);
        if (!result)
          return result.takeError();
      }
      append(rows, "logits", *result);
    }
    return llvm::Error::success();
  }

  void print(const HostTensor &logits) {
    int64_t width = logits.shape[1];
    for (int64_t row = 0; row < logits.shape[0]; ++row) {
      ArrayRef<float> values = logits.floats().slice(row * width, width);
      std::vector<int32_t> order(width);
      std::iota(order.begin(), order.end(), 0);
      auto best = order.begin() + std::min<int64_t>(5, width);
      std::partial_sort(
          order.begin(), best, order.end(),
          [&](int32_t l, int32_t r) { return values[l] > values[r]; });
      out << row << ":";
      for (auto id = order.begin(); id != best; ++id)
        out << fmt::format(" {} ({:.4f})", *id, values[*id]);
      out << "\n";
    }
  }

  llvm::Error dump(const Rows &rows) {
    std::vector<TensorSpec> specs;
    for (auto &[name, tensor] : rows)
      specs.push_back({name, DType::F32, tensor.shape});
    auto writer = SafeTensorsWriter::create(options.dumpHidden, specs);
    if (!writer)
      return writer.takeError();
    for (auto &[name, tensor] : rows)
      if (llvm::Error error = (*writer)->append(name, tensor.data))
        return error;
    return (*writer)->finish();
  }

  const RunOptions &options;
  llvm::raw_ostream &out;
  MLIRContext context;
  std::optional<Checkpoint> checkpoint;
  OwningOpRef<ModuleOp> module;
};

} // namespace

llvm::Expected<bool> lfmc::runReference(const RunOptions &options,
                                        llvm::raw_ostream &out) {
  return Runner(options, out).run();
}
