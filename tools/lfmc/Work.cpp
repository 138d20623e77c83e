// SPDX-License-Identifier: Apache-2.0
#include "tools/lfmc/Work.h"

#include "llvm/ADT/StringSet.h"

#include <algorithm>

namespace lfmc::cli {

WorkModel::WorkModel(const Json &manifest) {
  const Json &work = manifest.at("work");
  cacheBytes = work.at("decode_cache_bytes_per_position");
  tokenOperations = work.at("prefill_flops_per_token");
  pairOperations = work.at("prefill_flops_per_pair");
  promptOperations = work.at("prompt_flops_per_token");
  promptPairOperations = work.at("prompt_flops_per_pair");
  endRows = work.at("prompt_end_rows");
  endOperations = work.at("prompt_end_flops_per_row");
  endPairOperations = work.at("prompt_end_flops_per_pair");
  headOperations = work.at("head_flops_per_row");
  maxPrefill = manifest.at("options").at("max_prefill");
  llvm::StringSet<> head;
  for (const Json &phase : manifest.at("functions").at("head").at("phases"))
    for (const Json &call : phase)
      for (const Json &buffer : call.at("buffers"))
        if (buffer.contains("name"))
          head.insert(buffer.at("name").get<std::string>());
  headBytes = recurrentBytes = 0;
  double plain = 0, packed = 0;
  for (const Json &weight : manifest.at("weights")) {
    double bytes = weight.at("bytes");
    if (head.contains(weight.at("name").get<std::string>()))
      headBytes += bytes;
    // f32, f16 and bf16, or q8, q4, …
    std::string format = weight.at("format");
    (format.starts_with("q") ? packed : plain) += bytes;
  }
  const bool rounded =
      manifest.at("options").value("activations", "") == "bf16";
  kind = packed > plain ? Arithmetic::Int8
         : rounded      ? Arithmetic::Bf16
                        : Arithmetic::F32;
  bodyBytes = work.at("decode_weight_bytes").get<double>() - headBytes;
  for (const Json &state : manifest.at("states"))
    if (state.at("bytes_per_token") == 0)
      recurrentBytes += state.at("bytes").get<double>();
}

/// Of `tokens` queries behind `depth` positions, and what each of them sees.
static double pairsOf(int64_t tokens, int64_t depth) {
  const double n = double(tokens);
  return n * double(depth) + n * (n + 1) / 2;
}

Work WorkModel::step(int64_t tokens, int64_t depth, int64_t rows) const {
  double n = double(tokens), pairs = pairsOf(tokens, depth);
  return {bodyBytes + (rows > 0 ? headBytes : 0) +
              cacheBytes * (double(depth) + 2 * n) + 2 * recurrentBytes,
          n * tokenOperations + pairs * pairOperations +
              double(rows) * headOperations};
}

Work WorkModel::prompt(int64_t tokens, int64_t depth) const {
  Work total;
  for (int64_t at = 0; at < tokens; at += maxPrefill) {
    int64_t n = std::min(maxPrefill, tokens - at), rows = at + n == tokens;
    Work work = step(n, depth + at, rows);
    if (endRows && n > endRows) {
      const double pairs = pairsOf(n, depth + at),
                   last = pairsOf(endRows, depth + at + n - endRows);
      work.operations =
          double(n) * promptOperations + pairs * promptPairOperations +
          double(endRows) * endOperations + last * endPairOperations +
          double(rows) * headOperations;
    }
    total += work;
  }
  return total;
}

Work WorkModel::decode(int64_t tokens, int64_t depth) const {
  Work total;
  for (int64_t i = 0; i < tokens; ++i)
    total += step(1, depth + i, 1);
  return total;
}

} // namespace lfmc::cli
