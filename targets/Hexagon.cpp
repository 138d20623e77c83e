// SPDX-License-Identifier: Apache-2.0
#include "targets/Devices.h"

#include "runtime/include/lfm/program.h"
#include "llvm/ADT/STLExtras.h"

using namespace llvm;

namespace lfmc {

template <typename... Values>
static Error fail(const Target &target, const char *format,
                  const Values &...values) {
  return createStringError(("device %s: " + Twine(format)).str().c_str(),
                           target.name.str().c_str(), values...);
}

// Halide's own code for Hexagon has no floats in vectors; it writes generic IR
// for a processor with pointers of the same size instead, and vectors of the
// given bits, which LLVM maps to HVX.
Error describeHexagon(Target &target, const json::Object &facts,
                      ArrayRef<std::string> features) {
  StringRef version = target.cpu;
  unsigned number;
  if (!version.consume_front("hexagonv") || version.getAsInteger(10, number))
    return fail(target, "unknown cpu '%s', expected hexagonv66 or the like",
                target.cpu.str().c_str());
  for (const std::string &name : features)
    if (name != "hvx" && name != "hvx-qfloat")
      return fail(target, "unknown feature '%s', expected hvx or hvx-qfloat",
                  name.c_str());
  if (!is_contained(features, "hvx"))
    return fail(target, "expected the feature hvx");
  const bool floats = is_contained(features, "hvx-qfloat");
  constexpr unsigned firstWithFloats = 68;
  if (floats && number < firstWithFloats)
    return fail(target, "hvx-qfloat needs hexagonv68, found %s",
                target.cpu.str().c_str());
  std::optional<int64_t> vtcm = facts.getInteger("vtcm_kib");
  if (!vtcm || *vtcm < 0 || *vtcm > 1 << 20)
    return fail(target, "expected 'vtcm_kib' from 0 to 1048576");
  target.triple = "hexagon-unknown-linux-musl";
  target.features = kept(
      ("+hvxv" + version + ",+hvx-length128b" + (floats ? ",+hvx-qfloat" : ""))
          .str());
  target.halide =
      floats ? "arm-32-noos-no_neon-vector_bits_1024" : "arm-32-noos-no_neon";
  target.cpuFeatures = LFM_CPU_HVX | (floats ? LFM_CPU_HVX_FLOAT : 0);
  target.vectorLanes = 32;
  target.vectorRegisters = 32;
  target.vtcmBytes = *vtcm << 10;
  return Error::success();
}

} // namespace lfmc
