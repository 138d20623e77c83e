// SPDX-License-Identifier: Apache-2.0
//
// A small checkpoint on disk and modules as text, for the packer's tests.
#ifndef LFMC_TESTS_CODEGEN_PACK_PACKFIXTURE_H
#define LFMC_TESTS_CODEGEN_PACK_PACKFIXTURE_H

#include "codegen/pack/Pack.h"
#include "dialects/lfm2/Lfm2.h"
#include "frontend/SafeTensorsWriter.h"
#include "mlir/AsmParser/AsmParser.h"
#include "mlir/Parser/Parser.h"

#include "llvm/Support/FileSystem.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>

class PackTest : public testing::Test {
protected:
  void SetUp() override {
    context.loadDialect<lfmc::lfm2::Lfm2Dialect>();
    llvm::SmallString<64> path;
    ASSERT_FALSE(llvm::sys::fs::createUniqueDirectory("lfmc-pack", path));
    dir = std::string(path);
  }
  void TearDown() override { llvm::sys::fs::remove_directories(dir); }

  /// Writes DIR/model.safetensors with f32 tensors and opens it.
  void writeCheckpoint(
      std::vector<std::pair<lfmc::TensorSpec, std::vector<float>>> tensors) {
    std::vector<lfmc::TensorSpec> specs;
    for (auto &tensor : tensors)
      specs.push_back(tensor.first);
    auto writer = llvm::cantFail(
        lfmc::SafeTensorsWriter::create(dir + "/model.safetensors", specs));
    for (auto &[spec, values] : tensors)
      llvm::cantFail(writer->append(
          spec.name,
          llvm::ArrayRef(reinterpret_cast<const uint8_t *>(values.data()),
                         values.size() * 4)));
    llvm::cantFail(writer->finish());
    checkpoint.emplace(llvm::cantFail(lfmc::SafeTensors::open(dir)));
  }

  mlir::OwningOpRef<mlir::ModuleOp> parse(llvm::StringRef text) {
    auto module = mlir::parseSourceString<mlir::ModuleOp>(text, &context);
    EXPECT_TRUE(module);
    return module;
  }

  /// Packs to DIR/w; the error's text, or "" and `packed` is set.
  std::string pack(llvm::StringRef text, unsigned jobs = 2) {
    auto module = parse(text);
    auto result =
        lfmc::packWeights(*module, {*checkpoint, {}}, dir + "/w", {jobs, {}});
    if (!result)
      return llvm::toString(result.takeError());
    packed = *result;
    std::ifstream in(dir + "/w", std::ios::binary);
    file.assign(std::istreambuf_iterator<char>(in), {});
    return "";
  }

  float f32At(uint64_t offset) const {
    float value;
    std::memcpy(&value, file.data() + offset, 4);
    return value;
  }
  uint16_t u16At(uint64_t offset) const {
    uint16_t value;
    std::memcpy(&value, file.data() + offset, 2);
    return value;
  }

  /// Names in DIR, sorted.
  std::vector<std::string> names() const {
    std::vector<std::string> result;
    std::error_code code;
    for (llvm::sys::fs::directory_iterator it(dir, code), end;
         it != end && !code; it.increment(code))
      result.push_back(llvm::StringRef(it->path()).rsplit('/').second.str());
    llvm::sort(result);
    return result;
  }

  mlir::MLIRContext context;
  std::string dir;
  std::optional<lfmc::SafeTensors> checkpoint;
  lfmc::PackedWeights packed;
  std::vector<char> file;
};

inline std::vector<float> iota(int64_t n, float first = 0) {
  std::vector<float> values(n);
  for (int64_t i = 0; i < n; ++i)
    values[i] = first + float(i);
  return values;
}

#endif // LFMC_TESTS_CODEGEN_PACK_PACKFIXTURE_H
