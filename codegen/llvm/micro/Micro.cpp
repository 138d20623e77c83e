// SPDX-License-Identifier: Apache-2.0
#include "codegen/llvm/micro/Micro.h"

#include "codegen/llvm/Emit.h"
#include "codegen/llvm/micro/ArmAttention.h"
#include "codegen/llvm/micro/ArmOuter.h"
#include "codegen/llvm/micro/ArmTile.h"
#include "codegen/llvm/micro/Divisions.h"
#include "codegen/llvm/micro/LinearQ.h"

#include "runtime/include/lfm/program.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/TargetParser/Triple.h"

namespace lfmc {

using halide::MicroKernel;

static int64_t parameter(const MicroKernel &kernel, const char *name,
                         int64_t otherwise) {
  auto it = kernel.ints.find(name);
  return it == kernel.ints.end() ? otherwise : it->second;
}

static bool hasVnni(const Target &target) {
  return target.cpuFeatures & (LFM_CPU_AVX_VNNI | LFM_CPU_AVX512_ICELAKE);
}

/// Rows of a vector of vpdpbusd: the parameter "lanes", which may be half of
/// the target's; 0: none that the target has.
static int64_t dotLanes(const MicroKernel &kernel, const Target &target) {
  const int64_t lanes = parameter(kernel, "lanes", target.vectorLanes);
  return hasVnni(target) && (lanes == 8 || lanes == 16) &&
                 lanes <= target.vectorLanes
             ? lanes
             : 0;
}

/// Rows of a vector of vpmaddubsw; 0: too short, or missing.
static int64_t pairLanes(const Target &target) {
  return target.isX86() && target.vectorLanes >= 8 ? target.vectorLanes : 0;
}

MicroBackend microBackend(const MicroKernel &kernel, const Target &target) {
  if (kernel.family == "quads")
    return MicroBackend::Quads;
  if (kernel.family == "sixteens")
    return MicroBackend::Sixteens;
  if (kernel.family == "wide_panel")
    return parameter(kernel, "pairs", 0) ? MicroBackend::PairPanel
                                         : MicroBackend::WidePanel;
  if (kernel.family == "attention_block")
    return armAttentionTakes(kernel, target) ? MicroBackend::ArmAttention
                                             : MicroBackend::Halide;
  if (kernel.family != "linear_q")
    return MicroBackend::Halide;
  const int64_t rows = parameter(kernel, "rows", 0);
  const int64_t tokens = parameter(kernel, "tokens", 1);
  const int64_t tileRows = parameter(kernel, "tile_rows", rows);
  // Of four rows, whose sums are joined two by two.
  const bool inVectors = rows >= 4 && llvm::isPowerOf2_64(uint64_t(rows));
  const bool fours =
      rows <= 16 && inVectors && tileRows == rows && tokens % 4 == 0 &&
      (target.cpuFeatures & LFM_CPU_ARM_I8MM) && parameter(kernel, "quads", 0);
  if (parameter(kernel, "outer", 0))
    return parameter(kernel, "group", 0) && rows == outerLanes &&
                   tileRows == rows && outerTokens(tokens) &&
                   (target.cpuFeatures & LFM_CPU_ARM_SME)
               ? MicroBackend::ArmOuter
               : MicroBackend::Halide;
  if (parameter(kernel, "group", 0) && fours)
    return MicroBackend::ArmWide;
  if (parameter(kernel, "pairs", 0)) {
    const int64_t lanes = pairLanes(target);
    return !lanes || rows <= 0 || tileRows % lanes ? MicroBackend::Halide
           : parameter(kernel, "group", 0)         ? MicroBackend::PairTile
                                                   : MicroBackend::PairBlocks;
  }
  const int64_t lanes = dotLanes(kernel, target);
  const bool vectors = rows > 0 && lanes && tileRows % lanes == 0;
  if (parameter(kernel, "group", 0))
    return vectors ? MicroBackend::Wide : MicroBackend::Halide;
  if (parameter(kernel, "lanes", 0))
    return vectors ? MicroBackend::Dot : MicroBackend::Halide;
  if (target.cpuFeatures & LFM_CPU_HVX)
    return rows == 32 || rows == 64 ? MicroBackend::Hvx : MicroBackend::Halide;
  if (target.cpuFeatures & LFM_CPU_AMX_INT8)
    return rows == 16 && (tokens == 8 || (tokens > 0 && tokens % 16 == 0))
               ? MicroBackend::Matrix
               : MicroBackend::Halide;
  if (target.cpuFeatures & LFM_CPU_AVX_VNNI)
    return vectors ? MicroBackend::Dot : MicroBackend::Halide;
  if ((target.cpuFeatures & LFM_CPU_ARM_I8MM) && parameter(kernel, "quads", 0))
    return fours ? MicroBackend::ArmMatrix : MicroBackend::Halide;
  if (target.cpuFeatures & LFM_CPU_ARM_DOTPROD)
    return inVectors && tileRows == rows ? MicroBackend::ArmDot
                                         : MicroBackend::Halide;
  return MicroBackend::Halide;
}

llvm::Expected<std::unique_ptr<llvm::Module>>
buildMicro(const MicroKernel &kernel, const std::string &symbol,
           const Target &target, llvm::LLVMContext &context) {
  try {
    auto module = std::make_unique<llvm::Module>(symbol, context);
    const MicroBackend backend = microBackend(kernel, target);
    if (backend == MicroBackend::Quads || backend == MicroBackend::Sixteens) {
      halide::Params params(kernel);
      const int k = params.size("k");
      const int group = params.size("group", halide::activationBlock);
      params.checkAllRead();
      if (group % halide::activationBlock || k % group)
        params.fail("parameter 'k' must be a multiple of 'group', and that of "
                    "32");
      if (backend == MicroBackend::Quads)
        buildQuads(*module, symbol, k, group);
      else
        buildSixteens(*module, symbol, k, group);
      return module;
    }
    // Half vectors stay halves: the code generator joins none.
    const int64_t lanes = dotLanes(kernel, target);
    const bool narrow = lanes && lanes < target.vectorLanes;
    if (backend == MicroBackend::WidePanel) {
      buildWidePanel(*module, symbol, halide::Params(kernel),
                     dotLanes(kernel, target), narrow);
      return module;
    }
    if (backend == MicroBackend::PairPanel) {
      buildPairPanel(*module, symbol, halide::Params(kernel),
                     pairLanes(target));
      return module;
    }
    const bool floats = target.cpuFeatures & LFM_CPU_HVX_FLOAT;
    const halide::Params params(kernel);
    if (backend == MicroBackend::ArmAttention) {
      buildArmAttention(*module, symbol, params, target);
      return module;
    }
    LinearQ linear{params};
    const halide::QuantizedLayout &layout = linear.layout;
    if (layout.raised != (layout.isQ8() && backend == MicroBackend::Hvx))
      halide::Params(kernel).fail(layout.raised
                                      ? "parameter 'raised' wants HVX"
                                      : "HVX wants 8-bit codes that are raised "
                                        "(parameter 'raised')");
    linear.begin(*module, symbol,
                 llvm::Triple(target.triple).getArchPointerBitWidth() / 8);
    if (narrow)
      linear.writer->limitVectors(lanes * 32);
    if (backend == MicroBackend::Matrix)
      buildMatrixTile(linear);
    else if (backend == MicroBackend::ArmDot)
      buildArmDot(linear);
    else if (backend == MicroBackend::ArmMatrix)
      buildArmMatrix(linear);
    else if (backend == MicroBackend::ArmWide) {
      checkWide(params, linear.layout, linear.shape.group);
      buildArmWide(linear);
    } else if (backend == MicroBackend::ArmOuter) {
      checkWide(params, linear.layout, linear.shape.group);
      buildArmOuter(linear);
    } else if (backend == MicroBackend::PairTile) {
      checkWide(params, linear.layout, linear.shape.group);
      if (linear.shape.group > mostPairColumns)
        halide::Params(kernel).fail("parameter 'group' is more than the 256 "
                                    "columns whose sums fit 32 bits in pairs");
      buildPairTile(linear, pairLanes(target));
    } else if (backend == MicroBackend::PairBlocks) {
      buildPairBlocks(linear, pairLanes(target));
    } else if (backend == MicroBackend::Wide) {
      buildWideTile(linear, lanes);
    } else if (backend == MicroBackend::Hvx)
      buildHvxTile(linear, floats);
    else
      buildDotTile(linear, lanes);
    linear.writer->finish();
    if (floats)
      expandDivisions(*module);
    return module;
  } catch (const halide::ParameterError &error) {
    return llvm::createStringError("%s", error.what());
  }
}

std::string emitMicro(const MicroKernel &kernel, const std::string &symbol,
                      const Target &target, halide::Emit what,
                      const std::string &path) {
  const bool fromHalide = microBackend(kernel, target) == MicroBackend::Halide;
  const bool hexagon = target.cpuFeatures & LFM_CPU_HVX;
  // Halide's triple for Android leaves x18 to the code generator; it is the
  // system's there.
  const bool ours = hexagon || llvm::Triple(target.triple).isAndroid();
  if (fromHalide && (!ours || what == halide::Emit::Stmt))
    return halide::emit(kernel, symbol, target.halide.str(), what, path);
  llvm::LLVMContext context;
  auto module = fromHalide ? halideModule(kernel, symbol, target, context)
                           : buildMicro(kernel, symbol, target, context);
  if (!module)
    return llvm::toString(module.takeError());
  EmitKind kind = what == halide::Emit::Object     ? EmitKind::Object
                  : what == halide::Emit::Assembly ? EmitKind::Assembly
                                                   : EmitKind::LlvmText;
  auto bytes = emitLlvm(**module, target, kind, /*optimised=*/hexagon);
  if (!bytes)
    return llvm::toString(bytes.takeError());
  std::error_code error;
  llvm::raw_fd_ostream file(path, error);
  file.write(bytes->data(), bytes->size());
  file.close();
  if (!error && file.has_error())
    error = file.error();
  file.clear_error();
  return error ? "microkernel '" + kernel.family + "': cannot write '" + path +
                     "': " + error.message()
               : "";
}

} // namespace lfmc
