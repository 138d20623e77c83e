// SPDX-License-Identifier: Apache-2.0
#include "codegen/Codegen.h"

#include "codegen/llvm/Emit.h"
#include "codegen/llvm/Program.h"
#include "codegen/llvm/micro/Micro.h"
#include "dialects/Register.h"

#include "mlir/Conversion/ArithToLLVM/ArithToLLVM.h"
#include "mlir/Conversion/ControlFlowToLLVM/ControlFlowToLLVM.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/xxhash.h"

#include <atomic>
#include <mutex>
#include <thread>

namespace lfmc {
namespace {

using Bytes = llvm::SmallVector<char, 0>;

llvm::Expected<Bytes> readFile(llvm::StringRef path) {
  auto buffer = llvm::MemoryBuffer::getFile(path, /*IsText=*/false,
                                            /*RequiresNullTerminator=*/false);
  if (!buffer)
    return llvm::createStringError("%s: %s", path.str().c_str(),
                                   buffer.getError().message().c_str());
  return Bytes((*buffer)->getBufferStart(), (*buffer)->getBufferEnd());
}

/// Compiles one microkernel through a temporary file; `cached` may be empty.
llvm::Expected<Bytes> compileKernel(const std::string &symbol,
                                    const halide::MicroKernel &kernel,
                                    const Target &target, halide::Emit what,
                                    const std::string &cached) {
  if (!cached.empty() && llvm::sys::fs::exists(cached))
    return readFile(cached);
  llvm::SmallString<128> path;
  if (std::error_code error =
          llvm::sys::fs::createTemporaryFile("lfmc", "o", path))
    return llvm::createStringError("temporary file: %s",
                                   error.message().c_str());
  std::string message = emitMicro(kernel, symbol, target, what, path.c_str());
  llvm::Expected<Bytes> bytes =
      message.empty() ? readFile(path)
                      : llvm::createStringError("kernel %s", message.c_str());
  llvm::sys::fs::remove(path);
  if (!bytes || cached.empty())
    return bytes;
  // A cache that cannot be written costs time, not the compilation.
  llvm::SmallString<128> fresh;
  int file;
  if (!llvm::sys::fs::createUniqueFile(cached + ".%%%%%%", file, fresh)) {
    llvm::raw_fd_ostream stream(file, /*shouldClose=*/true);
    stream.write(bytes->data(), bytes->size());
    stream.close();
    if (stream.has_error() || llvm::sys::fs::rename(fresh, cached)) {
      stream.clear_error();
      llvm::sys::fs::remove(fresh);
    }
  }
  return bytes;
}

std::string cachePath(const CodegenOptions &options,
                      const std::string &symbol) {
  if (options.cacheDir.empty() ||
      llvm::sys::fs::create_directories(options.cacheDir))
    return "";
  uint64_t key = llvm::xxh3_64bits(
      (options.target->name + "\n" + options.target->halide + "\n" +
       options.target->cpu + "\n" + options.target->features + "\n" +
       llvm::Twine(kernelVersion()))
          .str());
  llvm::SmallString<128> path(options.cacheDir);
  llvm::sys::path::append(path,
                          symbol + "_" + llvm::utohexstr(key, true, 16) + ".o");
  return path.str().str();
}

/// Compiles all kernels on `jobs` threads; results in the order of the table.
llvm::Expected<std::vector<ObjectFile>>
compileKernels(const MicroKernels &micros, const CodegenOptions &options,
               halide::Emit what) {
  std::vector<std::pair<std::string, halide::MicroKernel>> work(
      micros.all().begin(), micros.all().end());
  std::vector<ObjectFile> objects(work.size());
  std::atomic<size_t> next = 0;
  std::atomic<unsigned> done = 0;
  std::mutex mutex;
  std::string failure;
  auto worker = [&] {
    for (size_t i; (i = next++) < work.size();) {
      auto &[symbol, kernel] = work[i];
      std::string cached =
          what == halide::Emit::Object ? cachePath(options, symbol) : "";
      llvm::Expected<Bytes> bytes =
          compileKernel(symbol, kernel, *options.target, what, cached);
      if (!bytes) {
        std::lock_guard lock(mutex);
        failure = llvm::toString(bytes.takeError());
        next = work.size();
        return;
      }
      objects[i] = {symbol + ".o", std::move(*bytes)};
      if (options.progress)
        options.progress(++done, unsigned(work.size()));
    }
  };
  unsigned jobs = options.jobs
                      ? options.jobs
                      : std::max(1u, std::thread::hardware_concurrency());
  std::vector<std::thread> threads;
  for (unsigned i = 1; i < jobs; ++i)
    threads.emplace_back(worker);
  worker();
  for (std::thread &thread : threads)
    thread.join();
  if (!failure.empty())
    return llvm::createStringError("%s", failure.c_str());
  return objects;
}

/// The objects of a lowered program, which come first, and its microkernels.
llvm::Expected<std::vector<ObjectFile>>
compileAll(mlir::OwningOpRef<mlir::ModuleOp> program, llvm::StringRef name,
           const MicroKernels &micros, const CodegenOptions &options) {
  if (!program)
    return llvm::createStringError("lowering the program failed");
  llvm::Expected<Bytes> code =
      emitMlir(*program, *options.target, EmitKind::Object);
  if (!code)
    return code.takeError();
  llvm::Expected<std::vector<ObjectFile>> objects =
      compileKernels(micros, options, halide::Emit::Object);
  if (objects)
    objects->insert(objects->begin(), {name.str(), std::move(*code)});
  return objects;
}

} // namespace

// Bump when the microkernels or their calling convention change.
int kernelVersion() { return 10; }

void prepareForCodegen(mlir::MLIRContext &context) {
  mlir::DialectRegistry registry;
  registerLfmcDialects(registry);
  mlir::arith::registerConvertArithToLLVMInterface(registry);
  mlir::cf::registerConvertControlFlowToLLVMInterface(registry);
  context.appendDialectRegistry(registry);
  // Code generation creates ops outside of any pass that would load dialects.
  context.loadAllAvailableDialects();
}

llvm::Expected<std::vector<ObjectFile>>
generateObjects(mlir::ModuleOp module, const CodegenOptions &options) {
  MicroKernels micros;
  auto program =
      lowerProgram(module, *options.target, options.modelName, micros);
  return compileAll(std::move(program), "program.o", micros, options);
}

llvm::Expected<std::vector<ObjectFile>>
generateKernel(kernel::DeclOp decl, unsigned pointers,
               const CodegenOptions &options) {
  MicroKernels micros;
  auto kernel =
      lowerKernel(decl, pointers, *options.target, options.modelName, micros);
  return compileAll(std::move(kernel), options.modelName + ".o", micros,
                    options);
}

llvm::Expected<std::string> generateText(mlir::ModuleOp module,
                                         const CodegenOptions &options,
                                         TextKind kind) {
  MicroKernels micros;
  mlir::OwningOpRef<mlir::ModuleOp> program =
      lowerProgram(module, *options.target, options.modelName, micros);
  if (!program)
    return llvm::createStringError("lowering the program failed");
  std::string text;
  if (kind != TextKind::HalideStmt) {
    llvm::Expected<Bytes> code = emitMlir(
        *program, *options.target,
        kind == TextKind::Llvm ? EmitKind::LlvmText : EmitKind::Assembly);
    if (!code)
      return code.takeError();
    text.assign(code->data(), code->size());
    if (kind == TextKind::Llvm)
      return text;
  }
  llvm::Expected<std::vector<ObjectFile>> kernels =
      compileKernels(micros, options,
                     kind == TextKind::HalideStmt ? halide::Emit::Stmt
                                                  : halide::Emit::Assembly);
  if (!kernels)
    return kernels.takeError();
  const char *comment = kind == TextKind::HalideStmt ? "// " : "# ";
  for (const ObjectFile &file : *kernels) {
    text += "\n" + (comment + file.name) + "\n";
    text.append(file.bytes.data(), file.bytes.size());
  }
  return text;
}

} // namespace lfmc
