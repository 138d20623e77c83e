// SPDX-License-Identifier: Apache-2.0
#include "frontend/SafeTensorsWriter.h"

#include "frontend/Errors.h"

#include "llvm/ADT/StringSet.h"
#include "llvm/Support/Endian.h"

#include <nlohmann/json.hpp>

using namespace llvm;

namespace lfmc {
namespace {

Error checkSpecs(ArrayRef<TensorSpec> specs) {
  StringSet<> names;
  uint64_t total = 0;
  for (const TensorSpec &spec : specs) {
    if (spec.name == "__metadata__" || !names.insert(spec.name).second)
      return makeError("cannot write tensor {} twice", inQuotes(spec.name));
    uint64_t product = dtypeBytes(spec.dtype);
    bool overflow = false;
    for (int64_t dim : spec.shape)
      overflow |=
          dim < 0 || __builtin_mul_overflow(product, uint64_t(dim), &product);
    overflow |= __builtin_add_overflow(total, product, &total);
    if (overflow || total > uint64_t(INT64_MAX))
      return makeError("tensor {}: the size of shape {} overflows",
                       inQuotes(spec.name), shapeText(spec.shape));
  }
  return Error::success();
}

/// Length field and JSON, padded so that the data starts 64-byte aligned.
std::string headerText(ArrayRef<TensorSpec> specs) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  header["__metadata__"] = {{"format", "pt"}};
  uint64_t offset = 0;
  for (const TensorSpec &spec : specs) {
    uint64_t end = offset + spec.numBytes();
    header[spec.name] = {{"dtype", dtypeName(spec.dtype).str()},
                         {"shape", spec.shape},
                         {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump();
  text.resize(alignTo(text.size() + 8, 64) - 8, ' ');
  char length[8];
  support::endian::write64le(length, text.size());
  return std::string(length, 8) + text;
}

Expected<sys::fs::TempFile> createTemp(StringRef path) {
  auto temp = sys::fs::TempFile::create(path + ".%%%%%%.tmp");
  if (!temp)
    return makeError("cannot write {}: {}", inQuotes(path),
                     toString(temp.takeError()));
  return temp;
}

Error keepTemp(sys::fs::TempFile &temp, StringRef path) {
  if (Error error = temp.keep(path)) {
    std::string why = toString(std::move(error));
    consumeError(temp.discard());
    return makeError("cannot write {}: {}", inQuotes(path), why);
  }
  return Error::success();
}

} // namespace

uint64_t TensorSpec::numBytes() const {
  uint64_t product = dtypeBytes(dtype);
  for (int64_t dim : shape)
    product *= uint64_t(dim);
  return product;
}

SafeTensorsWriter::SafeTensorsWriter(std::string path,
                                     std::vector<TensorSpec> specs,
                                     sys::fs::TempFile temp)
    : path(std::move(path)), specs(std::move(specs)), temp(std::move(temp)),
      out(this->temp.FD, /*shouldClose=*/false) {}

Expected<std::unique_ptr<SafeTensorsWriter>>
SafeTensorsWriter::create(StringRef path, std::vector<TensorSpec> specs) {
  if (Error error = checkSpecs(specs))
    return std::move(error);
  auto temp = createTemp(path);
  if (!temp)
    return temp.takeError();
  std::string header;
  std::unique_ptr<SafeTensorsWriter> writer(
      new SafeTensorsWriter(path.str(), std::move(specs), std::move(*temp)));
  try {
    header = headerText(writer->specs);
  } catch (const nlohmann::json::exception &) {
    return makeError("cannot write {}: a tensor's name is not valid UTF-8",
                     inQuotes(path));
  }
  writer->out << header;
  if (Error error = writer->checkStream())
    return std::move(error);
  return std::move(writer);
}

SafeTensorsWriter::~SafeTensorsWriter() {
  if (finished)
    return;
  out.flush();
  out.clear_error();
  consumeError(temp.discard());
}

Error SafeTensorsWriter::checkStream() {
  if (!out.has_error())
    return Error::success();
  std::string why = out.error().message();
  return makeError("cannot write {}: {}", inQuotes(path), why);
}

Error SafeTensorsWriter::append(StringRef name, ArrayRef<uint8_t> data) {
  while (current < specs.size() && written == specs[current].numBytes()) {
    // A finished tensor stays current until another name comes, so that empty
    // pieces of it are fine.
    if (specs[current].name == name && data.empty())
      return Error::success();
    ++current;
    written = 0;
  }
  if (current == specs.size())
    return makeError("{}: data of tensor {} after the last tensor",
                     inQuotes(path), inQuotes(name));
  const TensorSpec &spec = specs[current];
  if (spec.name != name)
    return makeError("{}: data of tensor {}, expected {} ({} of {} bytes came)",
                     inQuotes(path), inQuotes(name), inQuotes(spec.name),
                     written, spec.numBytes());
  if (data.size() > spec.numBytes() - written)
    return makeError("{}: {} bytes too many for tensor {}", inQuotes(path),
                     data.size() - (spec.numBytes() - written), inQuotes(name));
  out.write(reinterpret_cast<const char *>(data.data()), data.size());
  written += data.size();
  return checkStream();
}

Error SafeTensorsWriter::finish() {
  while (current < specs.size() && written == specs[current].numBytes()) {
    ++current;
    written = 0;
  }
  if (current != specs.size())
    return makeError("{}: {} of {} bytes of tensor {} are missing",
                     inQuotes(path), specs[current].numBytes() - written,
                     specs[current].numBytes(), inQuotes(specs[current].name));
  out.flush();
  if (Error error = checkStream())
    return error;
  finished = true;
  return keepTemp(temp, path);
}

Error writeFileAtomically(StringRef path, StringRef contents) {
  auto temp = createTemp(path);
  if (!temp)
    return temp.takeError();
  raw_fd_ostream out(temp->FD, /*shouldClose=*/false);
  out << contents;
  out.flush();
  if (out.has_error()) {
    std::string why = out.error().message();
    out.clear_error();
    consumeError(temp->discard());
    return makeError("cannot write {}: {}", inQuotes(path), why);
  }
  return keepTemp(*temp, path);
}

} // namespace lfmc
