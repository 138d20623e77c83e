// SPDX-License-Identifier: Apache-2.0
#include "codegen/quantize/Calibration.h"

#include "codegen/quantize/Experts.h"
#include "codegen/quantize/Lanes.h"
#include "frontend/Errors.h"

#include "llvm/ADT/SmallString.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"

#include <cerrno>
#include <cmath>
#include <sys/mman.h>
#include <unistd.h>

using namespace llvm;

namespace lfmc {
namespace {

// Beyond it the sums go to a file.
constexpr uint64_t memoryLimit = uint64_t(1) << 30;

// Tokens by which an expert's own sums are drawn to what needs none of them.
constexpr double priorTokens = 128;

// Square groups of up to `width` columns along the diagonal, one after the
// other.
struct Groups {
  int64_t columns, width;

  int64_t count() const { return (columns + width - 1) / width; }
  int64_t first(int64_t group) const { return group * width; }
  int64_t size(int64_t group) const {
    return std::min(width, columns - first(group));
  }
  // Floats up to group `group`.
  uint64_t offset(int64_t group) const {
    uint64_t sum = 0;
    for (int64_t i = 0; i < group; ++i)
      sum += uint64_t(size(i)) * size(i);
    return sum;
  }
  uint64_t floats() const { return offset(count()); }

  void moments(const float *sums, InputMoments &to) const {
    for (int64_t group = 0; group < count(); ++group)
      to.groups.push_back({first(group), size(group), sums + offset(group)});
  }
};

Groups groupsOf(const Calibration::Input &input) {
  return {input.columns, Calibration::groupColumns};
}

std::error_code lastError() {
  return std::error_code(errno, std::generic_category());
}

Expected<float *> mapZeros(uint64_t bytes) {
  int fd = -1;
  if (bytes > memoryLimit) {
    SmallString<128> path;
    if (std::error_code code =
            sys::fs::createTemporaryFile("lfmc-moments", "tmp", fd, path))
      return makeError("cannot create a temporary file: {}", code.message());
    ::unlink(path.c_str());
    if (::ftruncate(fd, off_t(bytes))) {
      std::error_code code = lastError();
      ::close(fd);
      return makeError("cannot write {} bytes below {}: {}", bytes,
                       sys::path::parent_path(path).str(), code.message());
    }
  }
  void *data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                      fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED, fd, 0);
  std::error_code code = lastError();
  if (fd >= 0)
    ::close(fd);
  if (data == MAP_FAILED)
    return makeError("no memory for {} bytes of moments: {}", bytes,
                     code.message());
  return static_cast<float *>(data);
}

} // namespace

uint64_t Calibration::floats(const Input &input) const {
  if (input.ownRows)
    return input.experts * Groups{input.columns, ownColumns}.floats();
  return groupsOf(input).floats() + input.experts * input.columns;
}

Expected<std::unique_ptr<Calibration>>
Calibration::create(std::vector<Input> inputs) {
  std::unique_ptr<Calibration> result(new Calibration());
  result->all = std::move(inputs);
  for (const Input &input : result->all)
    if (input.columns < 32 || input.columns % 32)
      return makeError("weight @{}: expected a multiple of 32 columns, found "
                       "{}",
                       input.weight, input.columns);
  // Whole blocks, whatever their size.
  auto ownBytes = [&] {
    uint64_t sum = 0;
    for (const Input &input : result->all)
      if (input.ownRows)
        sum += result->floats(input) * sizeof(float);
    return sum;
  };
  while (result->ownColumns > 128 && ownBytes() > memoryLimit)
    result->ownColumns /= 2;
  uint64_t floats = 0;
  for (auto [index, input] : enumerate(result->all)) {
    result->byName[input.weight] = index;
    result->offsets.push_back(floats);
    result->chosen.emplace_back(input.experts);
    result->seen.push_back(0);
    floats += result->floats(input);
  }
  if (floats == 0)
    return makeError("the model has no linear to calibrate");
  Expected<float *> sums = mapZeros(floats * sizeof(float));
  if (!sums)
    return sums.takeError();
  result->sums = *sums;
  result->bytes = floats * sizeof(float);
  return result;
}

Calibration::~Calibration() {
  if (sums)
    ::munmap(sums, bytes);
}

const Calibration::Input *Calibration::find(StringRef weight) const {
  auto found = byName.find(weight);
  return found == byName.end() ? nullptr : &all[found->second];
}

int64_t Calibration::parts(size_t input) const {
  const Input &of = all[input];
  return of.ownRows ? of.experts : groupsOf(of).count();
}

void Calibration::add(size_t input, int64_t part, const float *rows, int64_t n,
                      const int32_t *chosen, int64_t slots) {
  if (all[input].ownRows)
    return addExpert(input, part, rows, n, chosen, slots);
  Groups groups = groupsOf(all[input]);
  addMoments(sums + offsets[input] + groups.offset(part), groups.size(part),
             rows + groups.first(part), groups.columns, n);
  if (all[input].experts)
    addDiagonals(input, part, rows, n, chosen, slots);
}

void Calibration::addExpert(size_t input, int64_t expert, const float *rows,
                            int64_t n, const int32_t *chosen, int64_t slots) {
  Groups groups{all[input].columns, ownColumns};
  std::vector<float> own;
  for (int64_t i = 0; i < n * slots; ++i)
    if (chosen[i] == expert)
      own.insert(own.end(), rows + i * groups.columns,
                 rows + (i + 1) * groups.columns);
  if (own.empty())
    return;
  int64_t count = int64_t(own.size()) / groups.columns;
  this->chosen[input][expert] += count;
  float *to = sums + offsets[input] + expert * groups.floats();
  for (int64_t group = 0; group < groups.count(); ++group)
    addMoments(to + groups.offset(group), groups.size(group),
               own.data() + groups.first(group), groups.columns, count);
}

void Calibration::addDiagonals(size_t input, int64_t group, const float *rows,
                               int64_t n, const int32_t *chosen,
                               int64_t slots) {
  const Input &of = all[input];
  Groups groups = groupsOf(of);
  float *diagonals = sums + offsets[input] + groups.floats();
  if (group == 0)
    seen[input] += n;
  for (int64_t i = 0; i < n * slots; ++i) {
    if (chosen[i] < 0 || chosen[i] >= of.experts)
      continue;
    if (group == 0)
      ++this->chosen[input][chosen[i]];
    const float *row = rows + i / slots * of.columns;
    float *to = diagonals + chosen[i] * of.columns;
    int64_t first = groups.first(group);
    for (int64_t c = first; c < first + groups.size(group); ++c)
      to[c] += row[c] * row[c];
  }
}

InputMoments Calibration::moments(StringRef weight,
                                  ArrayRef<float> divisors) const {
  InputMoments result;
  const Input *input = find(weight);
  if (!input || input->ownRows)
    return result;
  groupsOf(*input).moments(sums + offsets[input - all.data()], result);
  result.divisors = divisors.vec();
  return result;
}

InputMoments Calibration::expertMoments(StringRef weight, int64_t expert,
                                        ArrayRef<float> divisors) const {
  InputMoments result;
  const Input *input = find(weight);
  if (!input || !input->ownRows)
    return result;
  Groups groups{input->columns, ownColumns};
  groups.moments(sums + offsets[input - all.data()] + expert * groups.floats(),
                 result);
  double tokens = double(expertTokens(weight)[expert]);
  result.correlation = float(tokens / (tokens + priorTokens));
  result.divisors = divisors.vec();
  return result;
}

std::vector<float> Calibration::expertFactors(StringRef weight,
                                              int64_t expert) const {
  const Input *input = find(weight);
  if (!input || !input->experts || input->ownRows)
    return {};
  double tokens = double(std::max<int64_t>(seen[input - all.data()], 1));
  double count = double(expertTokens(weight)[expert]);
  InputMoments together = moments(weight);
  const float *own = sums + offsets[input - all.data()] +
                     groupsOf(*input).floats() + expert * input->columns;
  std::vector<float> factors(input->columns, 1.0f);
  for (int64_t c = 0; c < input->columns; ++c) {
    double mean = together.diagonal(c) / tokens;
    double its = (own[c] + priorTokens * mean) / (count + priorTokens);
    if (mean > 0 && std::isfinite(its / mean))
      factors[c] = float(std::sqrt(its / mean));
  }
  return factors;
}

const std::vector<int64_t> &Calibration::expertTokens(StringRef weight) const {
  static const std::vector<int64_t> none;
  const Input *input = find(weight);
  return input ? chosen[input - all.data()] : none;
}

std::string Calibration::notFinite() const {
  for (auto [input, offset] : zip(all, offsets))
    for (float sum : ArrayRef<float>(sums + offset, floats(input)))
      if (!std::isfinite(sum))
        return input.weight;
  return "";
}

StringRef quantizerName(QuantizerKind kind) {
  return kind == QuantizerKind::Gptq     ? "gptq"
         : kind == QuantizerKind::Search ? "search"
                                         : "nearest";
}

std::unique_ptr<pack::RowQuantizer>
makeQuantizer(const QuantizerChoice &choice, StringRef weight, int64_t columns,
              ArrayRef<float> columnFactors) {
  if (choice.kind == QuantizerKind::Nearest)
    return std::make_unique<pack::NearestQuantizer>();
  InputMoments moments;
  if (choice.calibration) {
    const Calibration::Input *input = choice.calibration->find(weight);
    if (input && input->experts && input->columns == columns)
      return makeExpertsQuantizer(choice, *input, columnFactors);
    moments = choice.calibration->moments(weight, columnFactors);
  }
  if (moments.columns() != columns)
    return makeSearchQuantizer(nullptr);
  return choice.kind == QuantizerKind::Gptq ? makeFeedbackQuantizer(moments)
                                            : makeSearchQuantizer(&moments);
}

} // namespace lfmc
