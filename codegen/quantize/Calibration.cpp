// SPDX-License-Identifier: Apache-2.0
#include "codegen/quantize/Calibration.h"

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

int64_t groupSize(int64_t columns, int64_t group) {
  return std::min(Calibration::groupColumns,
                  columns - group * Calibration::groupColumns);
}

// Floats of an input's sums up to group `groups`.
uint64_t groupOffset(int64_t columns, int64_t groups) {
  uint64_t sum = 0;
  for (int64_t group = 0; group < groups; ++group)
    sum += uint64_t(groupSize(columns, group)) * groupSize(columns, group);
  return sum;
}

int64_t groupCount(int64_t columns) {
  return (columns + Calibration::groupColumns - 1) / Calibration::groupColumns;
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

Expected<std::unique_ptr<Calibration>>
Calibration::create(std::vector<Input> inputs) {
  std::unique_ptr<Calibration> result(new Calibration());
  result->all = std::move(inputs);
  uint64_t floats = 0;
  for (auto [index, input] : enumerate(result->all)) {
    if (input.columns < 32 || input.columns % 32)
      return makeError("weight @{}: expected a multiple of 32 columns, found "
                       "{}",
                       input.weight, input.columns);
    result->byName[input.weight] = index;
    result->offsets.push_back(floats);
    floats += groupOffset(input.columns, groupCount(input.columns));
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

int64_t Calibration::groups(size_t input) const {
  return groupCount(all[input].columns);
}

void Calibration::add(size_t input, int64_t group, const float *rows,
                      int64_t n) {
  int64_t columns = all[input].columns;
  addMoments(sums + offsets[input] + groupOffset(columns, group),
             groupSize(columns, group), rows + group * groupColumns, columns,
             n);
}

InputMoments Calibration::moments(StringRef weight,
                                  ArrayRef<float> divisors) const {
  InputMoments result;
  auto found = byName.find(weight);
  if (found == byName.end())
    return result;
  size_t input = found->second;
  int64_t columns = all[input].columns;
  for (int64_t group = 0; group < groupCount(columns); ++group)
    result.groups.push_back(
        {group * groupColumns, groupSize(columns, group),
         sums + offsets[input] + groupOffset(columns, group)});
  result.divisors = divisors.vec();
  return result;
}

std::string Calibration::notFinite() const {
  for (auto [input, offset] : zip(all, offsets)) {
    uint64_t count = groupOffset(input.columns, groupCount(input.columns));
    for (float sum : ArrayRef<float>(sums + offset, count))
      if (!std::isfinite(sum))
        return input.weight;
  }
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
  if (choice.calibration)
    moments = choice.calibration->moments(weight, columnFactors);
  if (moments.columns() != columns)
    return makeSearchQuantizer(nullptr);
  return choice.kind == QuantizerKind::Gptq ? makeFeedbackQuantizer(moments)
                                            : makeSearchQuantizer(&moments);
}

} // namespace lfmc
