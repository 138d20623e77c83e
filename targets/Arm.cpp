// SPDX-License-Identifier: Apache-2.0
//
// 64-bit Arm: systems and features.
#include "targets/Devices.h"

#include "runtime/include/lfm/program.h"

using namespace llvm;

namespace lfmc {
namespace {

struct System {
  StringRef name, triple, halide, folder;
};
const System systems[] = {
    {"linux", "aarch64-unknown-linux-gnu", "arm-64-linux", "aarch64-linux"},
    {"android", "aarch64-unknown-linux-android30", "arm-64-android",
     "aarch64-android"},
    {"ios", "arm64-apple-ios15.0", "arm-64-ios", "arm64-ios"},
    {"macos", "arm64-apple-macosx12.0", "arm-64-osx", "arm64-macos"}};

/// What a feature is called. Those that have SME2 have SME. SVE2 serves what
/// LLVM vectorizes itself: kernels of vectors have 128 bits.
struct Feature {
  StringRef name, llvm, halide;
  uint32_t bit;
};
const Feature known[] = {
    {"dotprod", "+dotprod", "-arm_dot_prod", LFM_CPU_ARM_DOTPROD},
    {"fp16", "+fullfp16", "", LFM_CPU_ARM_FP16},
    {"fhm", "+fp16fml", "", LFM_CPU_ARM_FHM},
    {"i8mm", "+i8mm", "", LFM_CPU_ARM_I8MM},
    {"bf16", "+bf16", "", LFM_CPU_ARM_BF16},
    {"sve2", "+sve2", "", LFM_CPU_ARM_SVE2},
    {"sme", "+sme", "", LFM_CPU_ARM_SME},
    {"sme2", "+sme2", "", LFM_CPU_ARM_SME2 | LFM_CPU_ARM_SME}};

} // namespace

Error describeArm64(Target &target, const json::Object &facts,
                    ArrayRef<std::string> features) {
  StringRef wanted = facts.getString("system").value_or("");
  const System *system = nullptr;
  for (const System &one : systems)
    if (one.name == wanted)
      system = &one;
  if (!system)
    return createStringError(
        "device %s: unknown system '%s', expected linux, android, ios or macos",
        target.name.str().c_str(), wanted.str().c_str());
  target.triple = system->triple;
  target.system = system->folder;
  // Halide takes arm_fp16 for conversions of halves as well, which every
  // processor has, and else computes them from bits; Halide's kernels do
  // nothing else with halves.
  std::string attributes, halide = system->halide.str() + "-arm_fp16";
  for (const std::string &name : features) {
    const Feature *feature = nullptr;
    for (const Feature &one : known)
      if (one.name == name)
        feature = &one;
    if (!feature)
      return createStringError("device %s: unknown feature '%s', expected "
                               "dotprod, fp16, fhm, i8mm, bf16, sve2, sme or "
                               "sme2",
                               target.name.str().c_str(), name.c_str());
    attributes += (attributes.empty() ? "" : ",") + feature->llvm.str();
    halide += feature->halide;
    target.cpuFeatures |= feature->bit;
  }
  target.features = kept(attributes);
  target.halide = kept(halide);
  target.vectorLanes = 4;
  target.vectorRegisters = 32;
  return Error::success();
}

} // namespace lfmc
