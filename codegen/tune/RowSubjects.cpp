// SPDX-License-Identifier: Apache-2.0
//
// rms_norm and embed.
#include "codegen/tune/Subject.h"
#include "codegen/tune/TestOperands.h"
#include "frontend/Errors.h"

#include <cmath>

namespace lfmc::tune {
namespace {

constexpr double eps = 1e-5;

class NormSubject : public Subject {
public:
  explicit NormSubject(const NormShape &shape) : shape(shape) {}

  std::string module(const Target &) const override {
    std::string text;
    for (const char *count : {"1", "?"}) {
      const std::string x =
          fmt::format("tensor<{}x{}xf32>", count, shape.width * shape.heads);
      const std::string g = fmt::format("tensor<{}xf32>", shape.width);
      text += fmt::format("func.func @f{0}(%x: {1}, %g: {2}) -> {1} {{\n"
                          "%y = lfm2.rms_norm %x, %g eps {3:.1e} : {1}, {2}\n"
                          "return %y : {1}\n}}\n",
                          count[0] == '1' ? "one" : "many", x, g, eps);
    }
    return text;
  }
  llvm::StringRef op() const override { return "lfm2.rms_norm"; }
  unsigned pointers() const override { return 3; }

  std::vector<uint8_t> job(const Kernel (&kernels)[2], int64_t tokens,
                           const MeasureOptions &options) const override {
    Xoshiro256 random{45};
    const int64_t rows = std::min(tokens, distinctRows), width = shape.width;
    const TestRows x = makeRows(rows, width * shape.heads, false, {}, random);
    std::vector<float> gains, y;
    for (int64_t i = 0; i < width; ++i)
      gains.push_back(1.5f + uniform(random));
    for (int64_t group = 0; group < rows * shape.heads; ++group) {
      const float *from = &x.values[group * width];
      double squares = 0;
      for (int64_t i = 0; i < width; ++i)
        squares += double(from[i]) * from[i];
      for (int64_t i = 0; i < width; ++i)
        y.push_back(float(from[i] * gains[i] /
                          std::sqrt(squares / double(width) + eps)));
    }
    JobFile file(options, tokens, 0);
    file.setChunks(kernels, tokens);
    file.addRows(x.values, rows);
    file.addPlain(gains);
    file.addFloats(y, tokens, rows, 0, 1e-5);
    file.repeatOperands();
    return file.take();
  }

private:
  const NormShape shape;
};

/// Rows of a table that is in no cache, in the panels of a tied head.
class EmbedSubject : public Subject {
public:
  explicit EmbedSubject(const EmbedShape &shape) : shape(shape) {}

  std::string module(const Target &target) const override {
    const int64_t depth = shape.block                            ? 4
                          : shape.kind == lfm2::StoredKind::BF16 ? 2
                                                                 : 1;
    const std::string table = fmt::format(
        "tensor<{}x{}xf32, #lfm2.stored<{}{}, <rows = {}, depth = {}>>>",
        vocabulary, shape.width, lfm2::stringifyStoredKind(shape.kind).str(),
        shape.block ? fmt::format(" block {}", shape.block) : "",
        2 * target.vectorLanes, depth);
    std::string text;
    for (const char *count : {"1", "?"})
      text += fmt::format(
          "func.func @f{0}(%t: tensor<{1}xi32>, %w: {2}) -> tensor<{1}x{3}xf32>"
          " {{\n%y = lfm2.embed %t, %w : (tensor<{1}xi32>, {2}) -> "
          "tensor<{1}x{3}xf32>\nreturn %y : tensor<{1}x{3}xf32>\n}}\n",
          count[0] == '1' ? "one" : "many", count, table, shape.width);
    return text;
  }
  llvm::StringRef op() const override { return "lfm2.embed"; }
  unsigned pointers() const override { return 3; }

  std::vector<uint8_t> job(const Kernel (&kernels)[2], int64_t tokens,
                           const MeasureOptions &options) const override {
    Xoshiro256 random{46};
    const int64_t distinct = std::min(tokens, 5 * distinctRows);
    const WeightUnits table(shape.kind, shape.block, vocabulary, shape.width,
                            kernels, random);
    const int64_t unit = table.rows();
    std::vector<int32_t> ids;
    std::vector<float> y;
    for (int64_t t = 0; t < distinct; ++t) {
      const auto id = int64_t(random() % vocabulary);
      ids.push_back(int32_t(id));
      const std::vector<float> &values =
          table.values(unitOf(uint64_t(id / unit)));
      auto row = values.begin() + id % unit * shape.width;
      y.insert(y.end(), row, row + shape.width);
    }
    JobFile file(options, tokens, 0);
    file.setChunks(kernels, tokens);
    file.addRows(ids, distinct);
    file.add(
        0, table.operand(file, kernels[0].layout, uint64_t(vocabulary / unit)));
    file.addFloats(y, tokens, distinct, 1e-7, 1e-6);
    file.repeatOperands();
    return file.take();
  }

private:
  static constexpr int64_t vocabulary = 16384;
  const EmbedShape shape;
};

} // namespace

Subjects makeSubject(const NormShape &shape) {
  return std::make_unique<NormSubject>(shape);
}

Subjects makeSubject(const EmbedShape &shape) {
  return std::make_unique<EmbedSubject>(shape);
}

} // namespace lfmc::tune
