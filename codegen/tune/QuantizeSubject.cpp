// SPDX-License-Identifier: Apache-2.0
//
// quantize: rows whose codes are known, times units and over gains that are
// powers of two. Whatever a kernel's rounding, codes and their sums are then
// exact, and units but for the norm's last bits.
#include "codegen/tune/Subject.h"
#include "codegen/tune/TestOperands.h"
#include "frontend/Errors.h"

#include <cmath>
#include <cstring>

namespace lfmc::tune {
namespace {

constexpr double eps = 1e-5;

struct Rows {
  std::vector<float> x;       ///< [rows][width]
  std::vector<uint8_t> bytes; ///< as linears read them
};

class QuantizeSubject : public Subject {
public:
  explicit QuantizeSubject(const QuantizeShape &shape) : shape(shape) {}
  std::string module(const Target &target) const override;
  llvm::StringRef op() const override { return "lfm2.quantize"; }
  unsigned pointers() const override { return shape.norm ? 3 : 2; }
  std::vector<uint8_t> job(const Kernel (&kernels)[2], int64_t tokens,
                           const MeasureOptions &options) const override;

private:
  Rows rows(int64_t count, RowForm form, const std::vector<float> &gains,
            Xoshiro256 &random) const;
  lfm_operand expected(const std::vector<uint8_t> &bytes, RowForm form,
                       int64_t distinct, int64_t tokens,
                       std::vector<float> &values) const;

  const QuantizeShape shape;
};

/// Who reads the rows says how they are wanted: q4 in groups, q8 in quads or
/// limited, and what is no linear as they are everywhere.
std::string QuantizeSubject::module(const Target &target) const {
  const bool linear = shape.quads || shape.group || shape.limited;
  const std::string weight = fmt::format(
      "tensor<{}x{}xf32, #lfm2.stored<{} block 32>>", 4 * target.vectorLanes,
      shape.width, shape.group ? "q4" : "q8");
  std::string text;
  for (const char *count : {"1", "?"}) {
    const std::string x = fmt::format("tensor<{}x{}xf32>", count, shape.width);
    const std::string q = fmt::format("tensor<{}x{}xf32, #lfm2.quantized<32>>",
                                      count, shape.width);
    const std::string g = fmt::format("tensor<{}xf32>", shape.width);
    const std::string y =
        linear ? fmt::format("tensor<{}x{}xf32>", count, 4 * target.vectorLanes)
               : q;
    text += fmt::format(
        "func.func @f{}(%x: {}, %g: {}, %w: {}) -> {} {{\n"
        "%q = lfm2.quantize %x {}: ({}{}) -> {}\n",
        count[0] == '1' ? "one" : "many", x, g, weight, y,
        shape.norm ? fmt::format("norm(%g) {{eps = {:.1e} : f64}} ", eps) : "",
        x, shape.norm ? ", " + g : "", q);
    if (linear)
      text += fmt::format("%y = lfm2.linear %q, %w : ({}, {}) -> {}\n", q,
                          weight, y);
    text += fmt::format("return {} : {}\n}}\n", linear ? "%y" : "%q", y);
  }
  return text;
}

Rows QuantizeSubject::rows(int64_t count, RowForm form,
                           const std::vector<float> &gains,
                           Xoshiro256 &random) const {
  const int64_t width = shape.width, shared = form.shared;
  Rows made;
  for (int64_t r = 0; r < count; ++r) {
    std::vector<int8_t> codes(width);
    std::vector<float> units(width / 32);
    std::vector<int32_t> sums(width / 32);
    double squares = 0;
    for (int64_t i = 0; i < width; ++i) {
      float &unit = units[i / shared];
      if (i % shared == 0)
        unit = std::ldexp(1.0f, -int(random() % 4) - 5);
      codes[i] = int8_t(int(random() % 255) - 127);
      if (form.limited)
        codes[i] /= 2;
      if (i % shared == shared / 2) // the largest of its block
        codes[i] = random() % 2 ? 127 : -127;
      if (form.limited && i % shared == shared / 2 + 1) // beside that
        codes[i] = 0;
      sums[i / shared] += codes[i];
      made.x.push_back(float(codes[i]) * unit / (shape.norm ? gains[i] : 1));
      squares += double(made.x.back()) * made.x.back();
    }
    if (shape.norm)
      for (float &unit : units)
        unit = float(unit / std::sqrt(squares / double(width) + eps));
    auto add = [&](const void *data, size_t bytes) {
      auto *begin = static_cast<const uint8_t *>(data);
      made.bytes.insert(made.bytes.end(), begin, begin + bytes);
    };
    add(codes.data(), codes.size());
    add(units.data(), units.size() * 4);
    add(sums.data(), sums.size() * 4);
  }
  return made;
}

/// The values of rows, of quads or of sixteens, as records.
lfm_operand QuantizeSubject::expected(const std::vector<uint8_t> &bytes,
                                      RowForm form, int64_t distinct,
                                      int64_t tokens,
                                      std::vector<float> &values) const {
  const int64_t width = shape.width;
  const bool quads = form.together == 4, sixteens = form.together == 16;
  lfm_operand records = {};
  records.kind = LFM_OPERAND_RECORDS;
  // Of quads, 32 columns of four tokens are a record.
  const int64_t codes = quads ? 128 : width * form.together;
  const int64_t floats = quads ? 8 : sixteens ? width : width / 32;
  const int64_t scales = width / form.shared * (sixteens ? 16 : 1);
  const int64_t each = quads ? width / 32 : 1;
  records.run[0] = uint32_t(codes);
  records.run[2] = uint32_t(floats);
  records.run[3] = quads || sixteens ? 0 : uint32_t(width / 32);
  records.rows = uint32_t(distinct / form.together * each);
  records.units = uint64_t(tokens / form.together * each);
  records.relative = 1e-5; // of sums, less than one
  const uint8_t *from = bytes.data();
  for (uint32_t r = 0; r < records.rows; ++r) {
    for (int64_t i = 0; i < codes; ++i)
      values.push_back(float(int8_t(*from++)));
    for (int64_t i = 0; i < floats; ++i, from += 4) {
      float value;
      std::memcpy(&value, from, 4);
      values.push_back(quads || i < scales ? value : NAN);
    }
    for (uint32_t i = 0; i < records.run[3]; ++i, from += 4) {
      int32_t value;
      std::memcpy(&value, from, 4);
      values.push_back(i < scales ? float(value) : NAN);
    }
  }
  return records;
}

std::vector<uint8_t> QuantizeSubject::job(const Kernel (&kernels)[2],
                                          int64_t tokens,
                                          const MeasureOptions &options) const {
  Xoshiro256 random{44};
  std::vector<float> gains;
  for (int64_t i = 0; i < shape.width; ++i)
    gains.push_back(std::ldexp(1.0f, int(random() % 3) - 1));
  const RowForm form = formOf(kernels[0], tokens);
  const int64_t distinct = std::min(tokens, distinctRows * form.together);
  Rows made = rows(distinct, form, gains, random);
  made.bytes = arranged(made.bytes, shape.width, form);
  std::vector<float> values;
  lfm_operand records = expected(made.bytes, form, distinct, tokens, values);
  JobFile file(options, tokens, 0);
  records.data = file.append(values);
  file.setChunks(kernels, tokens);
  file.addRows(made.x, distinct);
  if (shape.norm)
    file.addPlain(gains);
  file.add(0, records);
  file.repeatOperands();
  return file.take();
}

} // namespace

Subjects makeSubject(const QuantizeShape &shape) {
  return std::make_unique<QuantizeSubject>(shape);
}

} // namespace lfmc::tune
