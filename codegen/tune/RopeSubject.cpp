// SPDX-License-Identifier: Apache-2.0
//
// rope_cache: both caches are compared where a step writes.
#include "codegen/tune/Subject.h"
#include "codegen/tune/TestOperands.h"
#include "frontend/Errors.h"

#include <cmath>
#include <numbers>

namespace lfmc::tune {
namespace {

constexpr double eps = 1e-5;
constexpr int64_t positions = 1024; ///< of the caches
constexpr int64_t block = 64;       ///< positions of a quantized block

/// Rows of q, k or v. Where caches are quantized, each head is known codes in
/// a unit: exact, whatever a kernel's rounding (QuantizeSubject.cpp).
struct Heads {
  std::vector<float> x;     ///< [rows][heads][dim]
  std::vector<float> gains; ///< [dim]; powers of two with codes
};

Heads makeHeads(int64_t rows, int64_t heads, int64_t dim, bool codes,
                Xoshiro256 &random, bool normalised = true) {
  Heads made;
  for (int64_t i = 0; i < dim; ++i)
    made.gains.push_back(codes ? std::ldexp(1.0f, int(random() % 3) - 1)
                               : 1.5f + uniform(random));
  for (int64_t head = 0; head < rows * heads; ++head) {
    const float unit = std::ldexp(1.0f, -int(random() % 4) - 5);
    for (int64_t i = 0; i < dim; ++i) {
      const int code = i == dim / 3 ? 127 : int(random() % 255) - 127;
      made.x.push_back(codes ? float(code) * unit /
                                   (normalised ? made.gains[i] : 1)
                             : uniform(random));
    }
  }
  return made;
}

class RopeSubject : public Subject {
public:
  explicit RopeSubject(const RopeShape &shape)
      : shape(shape), quantized(shape.kind == lfm2::StoredKind::Q8) {}
  std::string module(const Target &target) const override;
  llvm::StringRef op() const override { return "lfm2.rope_cache"; }
  // q, k, v, gains of q and k, angles, y, both caches.
  unsigned pointers() const override { return 9; }
  int64_t mostTokens() const override { return positions; }
  std::vector<uint8_t> job(const Kernel (&kernels)[2], int64_t tokens,
                           const MeasureOptions &options) const override;

private:
  std::vector<float> angles(Xoshiro256 &random) const;
  std::vector<double> rotated(const float *x, const std::vector<float> &gains,
                              const float *angles) const;
  lfm_operand cache(std::vector<float> &expected) const;
  void write(std::vector<float> &expected, int64_t head, int64_t position,
             const std::vector<double> &row, int64_t lanes) const;

  const RopeShape shape;
  const bool quantized;
};

std::string RopeSubject::module(const Target &) const {
  const std::string cache =
      fmt::format("tensor<{}x{}x{}x{}>", positions, shape.kvHeads, shape.dim,
                  quantized ? "f32, #lfm2.quantized_cache<64>"
                  : shape.kind == lfm2::StoredKind::F16 ? "f16"
                                                        : "f32");
  const std::string g = fmt::format("tensor<{}xf32>", shape.dim);
  std::string text;
  for (const char *count : {"1", "?"}) {
    const std::string q =
        fmt::format("tensor<{}x{}xf32>", count, shape.heads * shape.dim);
    const std::string k =
        fmt::format("tensor<{}x{}xf32>", count, shape.kvHeads * shape.dim);
    text += fmt::format(
        "func.func @f{0}(%q: {1}, %k: {2}, %v: {2}, %g: {3}, %kc: {4}, "
        "%vc: {4}, %pos: index) -> ({1}, {4}, {4}) {{\n"
        "%y, %k1, %v1 = lfm2.rope_cache %q, %k, %v norm(%g, %g) into %kc, %vc "
        "at %pos eps {5:.1e} <theta = 1.0e+06 : f64, dim = {6}>\n"
        ": ({1}, {2}, {2}, {3}, {3}, {4}, {4}, index) -> ({1}, {4}, {4})\n"
        "return %y, %k1, %v1 : {1}, {4}, {4}\n}}\n",
        count[0] == '1' ? "one" : "many", q, k, g, cache, eps, shape.rot);
  }
  return text;
}

/// [position][cosines, sines]: any, or quarters of a turn, which move codes.
std::vector<float> RopeSubject::angles(Xoshiro256 &random) const {
  std::vector<float> table;
  const int64_t half = shape.rot / 2;
  for (int64_t p = 0; p < positions; ++p) {
    std::vector<float> sines;
    for (int64_t i = 0; i < half; ++i) {
      const double angle = quantized
                               ? double(random() % 4) * std::numbers::pi / 2
                               : uniform(random) * std::numbers::pi;
      const double cosine = std::cos(angle), sine = std::sin(angle);
      table.push_back(float(quantized ? std::round(cosine) : cosine));
      sines.push_back(float(quantized ? std::round(sine) : sine));
    }
    table.insert(table.end(), sines.begin(), sines.end());
  }
  return table;
}

std::vector<double> RopeSubject::rotated(const float *x,
                                         const std::vector<float> &gains,
                                         const float *angles) const {
  const int64_t half = shape.rot / 2;
  double squares = 0;
  for (int64_t i = 0; i < shape.dim; ++i)
    squares += double(x[i]) * x[i];
  const double inverse = 1 / std::sqrt(squares / double(shape.dim) + eps);
  std::vector<double> row;
  for (int64_t i = 0; i < shape.dim; ++i)
    row.push_back(double(gains[i]) * x[i] * inverse);
  for (int64_t i = 0; i < half; ++i) {
    const double low = row[i], high = row[i + half];
    const double cosine = angles[i], sine = angles[half + i];
    row[i] = low * cosine - high * sine;
    row[i + half] = high * cosine + low * sine;
  }
  return row;
}

/// Both caches as records, nothing expected yet.
lfm_operand RopeSubject::cache(std::vector<float> &expected) const {
  lfm_operand records = {};
  records.kind = LFM_OPERAND_RECORDS;
  const int64_t values = shape.dim * block;
  if (quantized) { // codes, then scales
    records.run[0] = uint32_t(values);
    records.run[2] = uint32_t(block);
    records.relative = 1e-5;
  } else {
    const bool halves = shape.kind == lfm2::StoredKind::F16;
    records.run[halves ? 1 : 2] = uint32_t(values);
    records.tolerance = 1e-5;
    records.relative = halves ? 6e-4 : 0; // half of a last bit, and a little
  }
  records.units = uint64_t(shape.kvHeads * (positions / block));
  records.rows = uint32_t(records.units);
  expected.assign(records.units * uint64_t(values + (quantized ? block : 0)),
                  NAN);
  return records;
}

/// A head's row at a position of a cache with `lanes` positions side by side.
void RopeSubject::write(std::vector<float> &expected, int64_t head,
                        int64_t position, const std::vector<double> &row,
                        int64_t lanes) const {
  const int64_t dim = shape.dim, values = dim * block;
  const int64_t in = position % block;
  float *to = &expected[(head * (positions / block) + position / block) *
                        (values + (quantized ? block : 0))];
  double largest = 0;
  for (double value : row)
    largest = std::max(largest, std::abs(value));
  const double unit = quantized ? largest / 127 : 1;
  for (int64_t i = 0; i < dim; ++i)
    to[(in / lanes * dim + i) * lanes + in % lanes] =
        float(quantized ? std::round(row[i] / unit) : row[i]);
  if (quantized)
    to[values + in] = float(unit);
}

std::vector<uint8_t> RopeSubject::job(const Kernel (&kernels)[2],
                                      int64_t tokens,
                                      const MeasureOptions &options) const {
  Xoshiro256 random{48};
  const int64_t dim = shape.dim, position = tokens == 1 ? 777 : 0;
  const int64_t rows = std::min(tokens, distinctRows);
  const Heads q = makeHeads(rows, shape.heads, dim, false, random);
  const Heads k = makeHeads(rows, shape.kvHeads, dim, quantized, random);
  const Heads v = makeHeads(rows, shape.kvHeads, dim, quantized, random, false);
  const std::vector<float> table = angles(random);
  std::vector<float> y, keys, values;
  const lfm_operand records = cache(keys);
  values = keys;
  for (int64_t t = 0; t < tokens; ++t) {
    const float *turn = &table[(position + t) * shape.rot];
    for (int64_t h = 0; h < shape.heads; ++h)
      for (double value :
           rotated(&q.x[(t % rows * shape.heads + h) * dim], q.gains, turn))
        y.push_back(float(value));
    for (int64_t h = 0; h < shape.kvHeads; ++h) {
      const int64_t at = (t % rows * shape.kvHeads + h) * dim;
      write(keys, h, position + t, rotated(&k.x[at], k.gains, turn),
            keyCacheLanes);
      write(values, h, position + t,
            std::vector<double>(&v.x[at], &v.x[at] + dim), 1);
    }
  }
  JobFile file(options, tokens, 0);
  file.job.position = uint64_t(position);
  lfm_operand caches[] = {records, records};
  caches[0].data = file.append(keys);
  caches[1].data = file.append(values);
  file.setChunks(kernels, tokens);
  for (const Heads *x : {&q, &k, &v})
    file.addRows(x->x, rows);
  file.addPlain(q.gains);
  file.addPlain(k.gains);
  file.addPlain(table);
  file.addFloats(y, tokens, tokens, 1e-5, 0);
  for (const lfm_operand &one : caches)
    file.add(0, one);
  file.repeatOperands();
  return file.take();
}

} // namespace

Subjects makeSubject(const RopeShape &shape) {
  return std::make_unique<RopeSubject>(shape);
}

} // namespace lfmc::tune
