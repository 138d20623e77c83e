// SPDX-License-Identifier: Apache-2.0
#include "tools/lfmc/Sensitivity.h"

#include "codegen/pack/Plan.h"
#include "frontend/Errors.h"
#include "runtime/src/Model.h"

#include "llvm/Support/Parallel.h"

#include <cmath>
#include <cstring>
#include <sys/mman.h>

using namespace llvm;

namespace lfmc::cli {

Expected<TokenRuns> sampleRuns(const Model &model, int64_t tokens,
                               int64_t length, int threads) {
  Expected<Session> session = createSession(model, threads);
  if (!session)
    return session.takeError();
  lfm_generate_params params;
  lfm_generate_params_default(&params);
  params.sampling = {/*temperature=*/1,
                     /*top_k=*/0,
                     /*top_p=*/0,
                     /*min_p=*/0,
                     /*repetition_penalty=*/0,
                     /*seed=*/0};
  constexpr int64_t shortest = 32;
  TokenRuns runs;
  for (int64_t count = 0; count < tokens; ++params.sampling.seed) {
    int32_t first = std::max(model.info.bos, 0);
    params.max_tokens =
        int32_t(std::min(length, std::max(tokens - count, shortest)) - 1);
    lfm_session_reset(session->get());
    if (Error error = session->check(lfm_generate(
            session->get(), &first, 1, &params, nullptr, nullptr, nullptr)))
      return std::move(error);
    const int32_t *written = lfm_session_tokens(session->get());
    size_t size = size_t(lfm_session_position(session->get()));
    runs.emplace_back(written, written + size);
    count += int64_t(size);
  }
  return runs;
}

Expected<TokenRuns> textRuns(const Model &model, StringRef text, StringRef name,
                             int64_t tokens, int64_t length) {
  Expected<std::vector<int32_t>> ids = model.tokenize(text, 0);
  if (!ids)
    return ids.takeError();
  constexpr int64_t fewest = 32;
  int64_t size = int64_t(ids->size()), each = std::min(length - 1, size);
  if (size < fewest || each < 1)
    return makeError("{} has {} tokens, expected at least {} to measure with",
                     name, size, fewest);
  int64_t pieces = size / each;
  int64_t count = std::clamp<int64_t>(tokens / length, 1, pieces);
  TokenRuns runs(count);
  for (int64_t i = 0; i < count; ++i) {
    auto from = ids->begin() + i * pieces / count * each;
    runs[i] = {std::max(model.info.bos, 0)};
    runs[i].insert(runs[i].end(), from, from + each);
  }
  return runs;
}

Expected<std::unique_ptr<Sensitivity>>
Sensitivity::open(StringRef package, std::vector<pack::PlannedWeight> plan,
                  const SafeTensors &tensors, int threads) {
  std::unique_ptr<Sensitivity> result(new Sensitivity(tensors));
  for (pack::PlannedWeight &weight : plan) {
    std::string name = weight.name;
    result->plan[name] = std::move(weight);
  }
  Expected<Model> opened = openModel(package, LFM_MODEL_READ);
  if (!opened)
    return opened.takeError();
  result->loaded = std::move(*opened);
  result->threads = threads;
  // The runtime's copy, which nobody else reads.
  const lfm_model &model = *result->loaded.handle;
  result->weights = const_cast<uint8_t *>(model.weights);
  if (mprotect(result->weights, model.mappedBytes, PROT_READ | PROT_WRITE))
    return makeError("cannot write to the weights in memory: {}",
                     std::strerror(errno));
  result->rows = std::min(256, result->loaded.info.max_prefill);
  if (Error error = result->reader.open(result->loaded, threads, result->rows))
    return std::move(error);
  parallel::strategy = hardware_concurrency(unsigned(threads));
  return result;
}

int64_t Sensitivity::positions() const {
  int64_t count = 0;
  for (const auto &run : runs)
    count += int64_t(run.size());
  return count;
}

Error Sensitivity::forEachPiece(
    LogitReader &from,
    function_ref<Error(size_t first, size_t count)> visit) const {
  size_t position = 0;
  for (ArrayRef<int32_t> run : runs) {
    from.restart();
    for (size_t at = 0; at < run.size(); at += size_t(rows)) {
      ArrayRef<int32_t> piece = run.slice(at).take_front(size_t(rows));
      if (Error error = from.read(piece))
        return error;
      if (Error error = visit(position, piece.size()))
        return error;
      position += piece.size();
    }
  }
  return Error::success();
}

Error Sensitivity::setReference(TokenRuns tokens) {
  runs = std::move(tokens);
  size_t vocabulary = size_t(loaded.info.vocab_size);
  reference.resize(size_t(positions()) * vocabulary);
  return forEachPiece(reader, [&](size_t first, size_t count) -> Error {
    for (size_t i = 0; i < count; ++i) {
      ArrayRef<float> row = reader.row(i);
      if (!llvm::all_of(row, [](float logit) { return std::isfinite(logit); }))
        return makeError("{}: the logits of position {} are not finite",
                         loaded.info.name, first + i);
      llvm::copy(row, reference.begin() + (first + i) * vocabulary);
    }
    return Error::success();
  });
}

Expected<Change> Sensitivity::compare(LogitReader &from) const {
  size_t vocabulary = size_t(loaded.info.vocab_size);
  DivergenceStatistics statistics;
  Error error = forEachPiece(from, [&](size_t first, size_t count) -> Error {
    std::vector<Divergence> each(count);
    parallelFor(0, count, [&](size_t i) {
      ArrayRef<float> wanted(&reference[(first + i) * vocabulary], vocabulary);
      each[i] = divergence(wanted, from.row(i));
    });
    for (const Divergence &position : each) {
      if (std::isnan(position.kld))
        return makeError("{}: the logits of position {} are not finite",
                         from.name(), first + (&position - each.data()));
      statistics.add(position);
    }
    return Error::success();
  });
  if (error)
    return std::move(error);
  return Change{statistics.topKMean(), statistics.kldMean()};
}

Expected<Change> Sensitivity::measure(const Model &other) const {
  LogitReader from;
  if (Error error = from.open(other, threads, rows))
    return std::move(error);
  return compare(from);
}

const pack::RowQuantizer &
Sensitivity::quantizerOf(const pack::PlannedWeight &weight) {
  std::unique_ptr<pack::RowQuantizer> &made = quantizers[weight.name];
  if (!made && weight.quantizer)
    made = weight.quantizer();
  if (!made)
    made = std::make_unique<pack::NearestQuantizer>();
  return *made;
}

// Lays the values that the codes stand for out as the kernels read them.
Error Sensitivity::round(const Json &weight, const pack::Blocks &blocks) {
  std::string name = weight.at("name");
  const pack::PlannedWeight &planned = plan.at(name);
  pack::Matrix matrix = pack::matrixOf(planned, tensors);
  const pack::RowQuantizer &quantizer = quantizerOf(planned);
  const int64_t columns = matrix.columns, rowCount = matrix.rows();
  constexpr int64_t step = 64; // rows that a quantizer takes side by side
  std::vector<float> values(size_t(rowCount * columns));
  std::atomic<bool> failed = false;
  parallelFor(0, size_t(rowCount + step - 1) / step, [&](size_t part) {
    std::vector<int64_t> indices;
    for (int64_t row = int64_t(part) * step;
         row < std::min(rowCount, int64_t(part + 1) * step); ++row)
      indices.push_back(row);
    const int64_t perRow = columns / blocks.block;
    std::vector<int8_t> codes(indices.size() * columns);
    std::vector<pack::BlockScale> scales(indices.size() * perRow);
    if (pack::quantizeRows(matrix, indices, blocks, quantizer, codes.data(),
                           scales.data()))
      failed = true;
    for (size_t i = 0; i < scales.size(); ++i) {
      float factor = pack::blockValue({scales[i].scale, 0}, 1);
      float minimum = pack::blockValue({0, scales[i].minimum}, 0);
      int64_t row = indices[i / perRow],
              first = int64_t(i) % perRow * blocks.block;
      float *to = values.data() + row * columns + first;
      float unscaled = matrix.rowFactors ? 1 / matrix.rowFactors[row] : 1;
      for (int64_t c = 0; c < blocks.block; ++c) {
        to[c] = factor * codes[i * blocks.block + c] + minimum;
        // The package's other tensors have no factors.
        to[c] *= matrix.columnFactors
                     ? unscaled / matrix.columnFactors[first + c]
                     : unscaled;
      }
    }
  });
  std::string format = weight.at("format");
  pack::Format stored = format == "f32"    ? pack::Format::F32
                        : format == "bf16" ? pack::Format::BF16
                                           : pack::Format::F16;
  pack::Matrix rounded;
  rounded.columns = columns;
  rounded.pieces = {{reinterpret_cast<const uint8_t *>(values.data()), rowCount,
                     pack::Format::F32}};
  pack::Panels panels;
  if (const Json &layout = weight.at("layout"); !layout.is_null())
    panels = {layout.at("rows"), layout.at("depth"), layout.at("halves")};
  constexpr int64_t partBytes = 1 << 20;
  std::vector<pack::Part> parts =
      pack::partition(panels, rowCount, columns, stored, partBytes);
  std::vector<uint64_t> places;
  uint64_t place = weight.at("offset");
  for (const pack::Part &part : parts) {
    places.push_back(place);
    place += uint64_t(part.elements(panels) * pack::formatBytes(stored));
  }
  parallelFor(0, parts.size(), [&](size_t i) {
    if (pack::packPart(rounded, panels, stored, parts[i], weights + places[i]))
      failed = true;
  });
  if (failed)
    return makeError("weight @{}: an element is not finite, or too large for "
                     "a scale of f16",
                     name);
  return Error::success();
}

Expected<Change> Sensitivity::measure(ArrayRef<std::string> names,
                                      const pack::Blocks &blocks) {
  if (!quantizers.contains(names.front()))
    quantizers.clear();
  std::vector<std::pair<uint64_t, std::vector<uint8_t>>> originals;
  auto roundAll = [&]() -> Error {
    for (const Json &weight : loaded.manifest.at("weights")) {
      if (!llvm::is_contained(names, weight.at("name").get<std::string>()))
        continue;
      uint64_t offset = weight.at("offset"), bytes = weight.at("bytes");
      originals.emplace_back(
          offset,
          std::vector<uint8_t>(weights + offset, weights + offset + bytes));
      if (Error error = round(weight, blocks))
        return error;
    }
    return Error::success();
  };
  Error error = roundAll();
  Expected<Change> change =
      error ? Expected<Change>(std::move(error)) : compare(reader);
  for (const auto &[offset, bytes] : originals)
    llvm::copy(bytes, weights + offset);
  return change;
}

} // namespace lfmc::cli
