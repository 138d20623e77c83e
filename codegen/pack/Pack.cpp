// SPDX-License-Identifier: Apache-2.0
#include "codegen/pack/Pack.h"

#include "codegen/pack/Plan.h"
#include "codegen/pack/Rope.h"
#include "frontend/Errors.h"
#include "runtime/include/lfm/program.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/xxhash.h"

#include <atomic>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <mutex>
#include <thread>
#include <unistd.h>

using namespace llvm;

namespace lfmc {

using namespace pack;

namespace {

// Of the output per task: large enough for the disk, small enough that the
// buffers of all threads do not count.
constexpr int64_t partBytes = 4 << 20;

std::string errnoText(int code) {
  return std::error_code(code, std::generic_category()).message();
}

Error writeAll(int fd, const uint8_t *data, uint64_t bytes, uint64_t offset,
               StringRef path) {
  while (bytes) {
    ssize_t done = ::pwrite(fd, data, bytes, off_t(offset));
    if (done < 0 && errno == EINTR)
      continue;
    if (done < 0)
      return makeError("cannot write {}: {}", path.str(), errnoText(errno));
    data += done;
    offset += done;
    bytes -= done;
  }
  return Error::success();
}

// Reserves the space at once, so that a full disk is found before the work; not
// every file system can, and then the size alone is set.
Error reserve(int fd, uint64_t bytes, StringRef path) {
#ifdef __linux__
  int code = ::fallocate(fd, 0, 0, off_t(bytes)) ? errno : 0;
  if (!code)
    return Error::success();
  if (code != EOPNOTSUPP && code != ENOSYS && code != EINTR)
    return makeError("cannot write {} of {} bytes: {}", path.str(), bytes,
                     errnoText(code));
#endif
  if (::ftruncate(fd, off_t(bytes)))
    return makeError("cannot write {} of {} bytes: {}", path.str(), bytes,
                     errnoText(errno));
  return Error::success();
}

struct Task {
  size_t weight;
  Part part;
  uint64_t offset; // in the file
  uint64_t bytes;
};

class Packer {
public:
  Packer(std::vector<PlannedWeight> planned, const SafeTensors &tensors, int fd,
         StringRef path, const PackOptions &options)
      : weights(std::move(planned)), tensors(tensors), fd(fd), path(path),
        options(options), unfinished(weights.size()),
        quantizers(weights.size()) {
    for (size_t i = 0; i < weights.size(); ++i)
      addTasks(i);
    hashes.resize(tasks.size());
  }

  Error run();
  std::array<uint8_t, 16> id() const;

private:
  void addTasks(size_t index);
  void work();
  Error runTask(size_t index, std::vector<uint8_t> &buffer);
  const RowQuantizer &quantizerOf(size_t weight);
  std::optional<BadElement> packTask(const Task &task, uint8_t *to);
  std::optional<BadElement> packScaled(Matrix &matrix,
                                       const PlannedWeight &weight,
                                       const Part &part, uint8_t *to) const;
  Error badElement(const PlannedWeight &weight, const BadElement &bad) const;
  void finish(const Task &task);

  std::vector<PlannedWeight> weights;
  const SafeTensors &tensors;
  int fd;
  StringRef path;
  const PackOptions &options;
  std::vector<Task> tasks;
  std::vector<XXH128_hash_t> hashes; // by task, whatever thread ran it
  std::vector<std::atomic<size_t>> unfinished; // tasks left, by weight
  struct Quantizer {
    std::once_flag made;
    std::unique_ptr<RowQuantizer> quantizer;
  };
  std::vector<Quantizer> quantizers; // by weight
  uint64_t totalBytes = 0;
  std::atomic<size_t> next{0};
  std::mutex mutex; // of the three below
  uint64_t doneBytes = 0;
  size_t failedTask = SIZE_MAX;
  std::string failure;
};

void Packer::addTasks(size_t index) {
  const PlannedWeight &weight = weights[index];
  uint64_t offset = weight.offset;
  const Blocks &blocks = weight.blocks;
  for (const Part &part :
       blocks.block ? partitionQuantized(weight.panels, weight.rows,
                                         weight.columns, blocks, partBytes)
                    : partition(weight.panels, weight.rows, weight.columns,
                                weight.format, partBytes)) {
    uint64_t bytes =
        blocks.block
            ? (part.endPanel - part.beginPanel) * weight.panels.rows *
                  blocks.bytes(weight.columns)
            : part.elements(weight.panels) * formatBytes(weight.format);
    tasks.push_back({index, part, offset, bytes});
    offset += bytes;
    totalBytes += bytes;
    ++unfinished[index];
  }
}

const RowQuantizer &Packer::quantizerOf(size_t weight) {
  Quantizer &its = quantizers[weight];
  std::call_once(its.made, [&] {
    its.quantizer = weights[weight].quantizer
                        ? weights[weight].quantizer()
                        : std::make_unique<NearestQuantizer>();
  });
  return *its.quantizer;
}

std::optional<BadElement> Packer::packScaled(Matrix &matrix,
                                             const PlannedWeight &weight,
                                             const Part &part,
                                             uint8_t *to) const {
  std::vector<float> values(weight.rows);
  for (int64_t row = 0; row < weight.rows; ++row)
    if (auto bad = readRow(matrix, row, &values[row]))
      return bad;
  matrix.pieces = {{reinterpret_cast<const uint8_t *>(values.data()),
                    weight.rows, Format::F32}};
  return packPart(matrix, weight.panels, weight.format, part, to);
}

std::optional<BadElement> Packer::packTask(const Task &task, uint8_t *to) {
  const PlannedWeight &weight = weights[task.weight];
  Matrix matrix = matrixOf(weight, tensors);
  if (weight.blocks.block)
    return packQuantized(matrix, weight.panels, weight.blocks,
                         quantizerOf(task.weight), task.part, to);
  if (matrix.rowFactors) // a vector: the verifier admits no others
    return packScaled(matrix, weight, task.part, to);
  if (!weight.sources.empty())
    return packPart(matrix, weight.panels, weight.format, task.part, to);
  // A rope table: make the rows of the part, then lay them out like any other.
  // Tables in panels are made whole, they are small.
  bool rowMajor = weight.panels.rows == 1;
  int64_t begin = rowMajor ? task.part.beginPanel : 0;
  int64_t end = rowMajor ? task.part.endPanel : weight.rows;
  std::vector<float> rows((end - begin) * weight.columns);
  ropeRows(ropeInverseFrequencies(weight.theta, weight.columns), begin, end,
           rows.data());
  matrix.pieces.push_back({reinterpret_cast<const uint8_t *>(rows.data()),
                           end - begin, Format::F32});
  Part part = task.part;
  part.beginPanel -= begin;
  part.endPanel -= begin;
  return packPart(matrix, weight.panels, weight.format, part, to);
}

Error Packer::badElement(const PlannedWeight &weight,
                         const BadElement &bad) const {
  if (weight.sources.empty())
    return makeError("weight @{}: cosine or sine {} does not fit {}",
                     weight.name, bad.index, formatName(weight.format));
  const TensorInfo &info = *weight.sources[bad.piece];
  std::string where;
  int64_t rest = bad.index;
  for (auto dim = info.shape.rbegin(); dim != info.shape.rend(); ++dim) {
    where =
        fmt::format("{}{}{}", rest % *dim, where.empty() ? "" : ", ", where);
    rest /= *dim;
  }
  std::string file = tensors.filePath(info.file).str();
  if (!std::isfinite(bad.value))
    return makeError("tensor {} in {}: expected finite elements, found {} at "
                     "[{}]",
                     inQuotes(info.name), file, bad.value, where);
  return makeError("tensor {} in {}: element {} at [{}] is too large to be "
                   "stored as {}",
                   inQuotes(info.name), file, bad.value, where,
                   weight.blocks.block ? "a scale of f16"
                                       : formatName(weight.format));
}

void Packer::finish(const Task &task) {
  if (--unfinished[task.weight] == 0) {
    for (const TensorInfo *info : weights[task.weight].sources)
      tensors.release(*info);
    quantizers[task.weight].quantizer.reset();
  }
  std::lock_guard lock(mutex);
  doneBytes += task.bytes;
  if (options.progress)
    options.progress(doneBytes, totalBytes);
}

Error Packer::runTask(size_t index, std::vector<uint8_t> &buffer) {
  const Task &task = tasks[index];
  if (buffer.size() < task.bytes)
    buffer.resize(task.bytes);
  if (auto bad = packTask(task, buffer.data()))
    return badElement(weights[task.weight], *bad);
  hashes[index] = xxh3_128bits(ArrayRef(buffer.data(), task.bytes));
  if (Error error = writeAll(fd, buffer.data(), task.bytes, task.offset, path))
    return error;
  finish(task);
  return Error::success();
}

void Packer::work() {
  std::vector<uint8_t> buffer;
  for (size_t index = next++; index < tasks.size(); index = next++) {
    Error error = runTask(index, buffer);
    if (!error)
      continue;
    next = tasks.size();
    std::lock_guard lock(mutex);
    std::string text = toString(std::move(error));
    // The message must not depend on which thread was faster.
    if (index < failedTask) {
      failedTask = index;
      failure = std::move(text);
    }
  }
}

Error Packer::run() {
  unsigned jobs =
      options.jobs ? options.jobs : std::thread::hardware_concurrency();
  std::vector<std::thread> threads;
  for (unsigned i = 1; i < jobs && i < tasks.size(); ++i)
    threads.emplace_back([this] { work(); });
  work();
  for (std::thread &thread : threads)
    thread.join();
  if (!failure.empty())
    return makeError("{}", failure);
  return Error::success();
}

std::array<uint8_t, 16> Packer::id() const {
  std::string identity = fmt::format("abi {}\n", LFM_PROGRAM_ABI);
  for (const PlannedWeight &weight : weights)
    identity += weight.identity;
  for (const XXH128_hash_t &hash : hashes)
    identity += fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
  XXH128_hash_t hash = xxh3_128bits(arrayRefFromStringRef(identity));
  std::array<uint8_t, 16> bytes;
  for (int i = 0; i < 8; ++i) {
    bytes[i] = uint8_t(hash.high64 >> (56 - 8 * i));
    bytes[8 + i] = uint8_t(hash.low64 >> (56 - 8 * i));
  }
  return bytes;
}

Expected<PackedWeights> packTo(int fd, StringRef path,
                               std::vector<PlannedWeight> weights,
                               const SafeTensors &tensors,
                               const PackOptions &options) {
  PackedWeights result;
  result.fileBytes = fileBytes(weights);
  if (Error error = reserve(fd, result.fileBytes, path))
    return error;
  Packer packer(std::move(weights), tensors, fd, path, options);
  if (Error error = packer.run())
    return error;
  result.id = packer.id();
  lfm_weights_header header = {};
  std::memcpy(header.magic, LFM_WEIGHTS_MAGIC, sizeof header.magic);
  std::memcpy(header.id, result.id.data(), sizeof header.id);
  header.file_bytes = result.fileBytes;
  if (Error error = writeAll(fd, reinterpret_cast<const uint8_t *>(&header),
                             sizeof header, 0, path))
    return error;
  return result;
}

} // namespace

Expected<uint64_t> weightsFileBytes(mlir::ModuleOp module) {
  Expected<std::vector<PlannedWeight>> weights = planOffsets(module);
  if (!weights)
    return weights.takeError();
  return fileBytes(*weights);
}

Expected<PackedWeights> pack::packPlanned(std::vector<PlannedWeight> weights,
                                          const SafeTensors &tensors,
                                          StringRef path,
                                          const PackOptions &options) {
  Expected<sys::fs::TempFile> temp =
      sys::fs::TempFile::create(path + ".%%%%%%%%.tmp");
  if (!temp)
    return makeError("cannot write {}: {}", path.str(),
                     toString(temp.takeError()));
  Expected<PackedWeights> result =
      packTo(temp->FD, path, std::move(weights), tensors, options);
  if (!result)
    return joinErrors(result.takeError(), temp->discard());
  if (Error error = temp->keep(path))
    return makeError("cannot write {}: {}", path.str(),
                     toString(std::move(error)));
  return result;
}

Expected<PackedWeights> packWeights(mlir::ModuleOp module,
                                    const WeightSource &source, StringRef path,
                                    const PackOptions &options) {
  Expected<std::vector<PlannedWeight>> weights = planWeights(module, source);
  if (!weights)
    return weights.takeError();
  return packPlanned(std::move(*weights), source.tensors, path, options);
}

} // namespace lfmc
