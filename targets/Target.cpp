// SPDX-License-Identifier: Apache-2.0
#include "targets/Devices.h"

#include "runtime/include/lfm/program.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/bit.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/TargetParser/Host.h"

#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#if defined(__linux__) && defined(__x86_64__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace lfmc {

// Feature sets are the x86-64 psABI levels; Halide names them one by one.
static const Target targets[] = {
    {"x86-64-v2", "x86-64 with SSE4.2", "x86_64-unknown-linux-gnu", "x86-64-v2",
     "", "x86-64-linux-sse41", LFM_CPU_X86_V2, 4, 16, 32 << 10, 256 << 10},
    {"x86-64-v3", "x86-64 with AVX2, FMA, F16C", "x86_64-unknown-linux-gnu",
     "x86-64-v3", "", "x86-64-linux-sse41-avx-avx2-f16c-fma",
     LFM_CPU_X86_V2 | LFM_CPU_X86_V3, 8, 16, 32 << 10, 512 << 10},
    {"x86-64-v3-vnni",
     "x86-64-v3 with AVX-VNNI: Alder Lake, Sierra Forest, Zen 5",
     "x86_64-unknown-linux-gnu", "x86-64-v3", "+avxvnni",
     "x86-64-linux-sse41-avx-avx2-f16c-fma",
     LFM_CPU_X86_V2 | LFM_CPU_X86_V3 | LFM_CPU_AVX_VNNI, 8, 16, 32 << 10,
     512 << 10},
    {"x86-64-v4", "x86-64 with AVX-512 F/BW/CD/DQ/VL",
     "x86_64-unknown-linux-gnu", "x86-64-v4", "-prefer-256-bit",
     "x86-64-linux-sse41-avx-avx2-f16c-fma-avx512-avx512_skylake",
     LFM_CPU_X86_V2 | LFM_CPU_X86_V3 | LFM_CPU_X86_V4, 16, 32, 32 << 10,
     1 << 20},
    {"x86-64-v4-vnni",
     "x86-64-v4 with the AVX-512 of Ice Lake and Zen 4 (VNNI)",
     "x86_64-unknown-linux-gnu", "x86-64-v4", "-prefer-256-bit,+avx512vnni",
     "x86-64-linux-sse41-avx-avx2-f16c-fma-avx512-avx512_skylake-"
     "avx512_cannonlake-avx512_zen4",
     LFM_CPU_X86_V2 | LFM_CPU_X86_V3 | LFM_CPU_X86_V4 | LFM_CPU_AVX512_ICELAKE,
     16, 32, 32 << 10, 1 << 20},
    {"x86-64-v4-bf16",
     "x86-64-v4-vnni with AVX-512 BF16: Zen 4, Sapphire Rapids",
     "x86_64-unknown-linux-gnu", "x86-64-v4", "-prefer-256-bit,+avx512vnni",
     "x86-64-linux-sse41-avx-avx2-f16c-fma-avx512-avx512_skylake-"
     "avx512_cannonlake-avx512_zen4",
     LFM_CPU_X86_V2 | LFM_CPU_X86_V3 | LFM_CPU_X86_V4 | LFM_CPU_AVX512_ICELAKE |
         LFM_CPU_AVX512_BF16,
     16, 32, 32 << 10, 1 << 20},
    {"x86-64-amx", "x86-64-v4-bf16 with AMX-INT8: Sapphire Rapids",
     "x86_64-unknown-linux-gnu", "x86-64-v4",
     "-prefer-256-bit,+avx512vnni,+amx-tile,+amx-int8",
     "x86-64-linux-sse41-avx-avx2-f16c-fma-avx512-avx512_skylake-"
     "avx512_cannonlake-avx512_zen4",
     LFM_CPU_X86_V2 | LFM_CPU_X86_V3 | LFM_CPU_X86_V4 | LFM_CPU_AVX512_ICELAKE |
         LFM_CPU_AVX512_BF16 | LFM_CPU_AMX_INT8,
     16, 32, 48 << 10, 2 << 20},
};

static const std::vector<Target> &targetTable() {
  static const std::vector<Target> all = [] {
    std::vector<Target> list(std::begin(targets), std::end(targets));
    for (const DeviceFile &file : deviceFiles())
      list.push_back(llvm::cantFail(readDevice(file.text, file.name, {})));
    return list;
  }();
  return all;
}

llvm::ArrayRef<Target> allTargets() { return targetTable(); }

/// Linux lends the tile registers to processes that ask.
static bool requestTiles() {
#if defined(__linux__) && defined(__x86_64__)
  constexpr long requestPermission = 0x1023, tileData = 18;
  return syscall(SYS_arch_prctl, requestPermission, tileData) == 0;
#else
  return true;
#endif
}

bool runsOnHost(const Target &target) {
#ifndef __x86_64__
  return false;
#endif
  if (!target.isX86())
    return false;
  llvm::StringMap<bool> has = llvm::sys::getHostCPUFeatures();
  auto all = [&](std::initializer_list<const char *> names) {
    for (const char *name : names)
      if (!has.lookup(name))
        return false;
    return true;
  };
  uint32_t need = target.cpuFeatures;
  if ((need & LFM_CPU_X86_V2) && !all({"sse4.2", "ssse3", "popcnt"}))
    return false;
  if ((need & LFM_CPU_X86_V3) && !all({"avx2", "fma", "f16c", "bmi2"}))
    return false;
  if ((need & LFM_CPU_X86_V4) &&
      !all({"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}))
    return false;
  if ((need & LFM_CPU_AVX512_ICELAKE) &&
      !all({"avx512vnni", "avx512ifma", "avx512vbmi", "avx512vbmi2",
            "avx512bitalg", "avx512vpopcntdq", "gfni", "vaes", "vpclmulqdq"}))
    return false;
  if ((need & LFM_CPU_AVX512_BF16) && !all({"avx512bf16"}))
    return false;
  if ((need & LFM_CPU_AVX_VNNI) && !all({"avxvnni"}))
    return false;
  // These kernels have run on a model of the instructions only: whoever has the
  // processor has to ask for them.
  if ((need & LFM_CPU_AMX_INT8) &&
      (!std::getenv("LFMC_AMX") || !all({"amx-tile", "amx-int8"}) ||
       !requestTiles()))
    return false;
  return true;
}

const Target &hostTarget() {
  const Target *best = &targetTable().front();
  for (const Target &target : targetTable())
    if (runsOnHost(target))
      best = &target;
  return *best;
}

namespace {
/// A library for any processor of a family.
struct Family {
  llvm::StringRef name;
  std::vector<std::string> usual;
};
} // namespace

llvm::Expected<llvm::SmallVector<const Target *>>
findTargets(llvm::StringRef name, llvm::ArrayRef<std::string> isa) {
  static const Family families[] = {{"x86-64", {"v2", "v3", "v4-vnni"}}};
  const Family *family = nullptr;
  for (const Family &each : families)
    if (each.name == name)
      family = &each;
  if (!family && !isa.empty()) {
    // Levels of a device are features that it may have; "base" has none.
    auto base = findTarget(name);
    if (!base)
      return base.takeError();
    if ((*base)->facts.empty())
      return llvm::createStringError(
          "target '%s' is one level: several (--isa) need a family, x86-64, or "
          "a device with features, such as aarch64-linux",
          name.str().c_str());
    llvm::SmallVector<const Target *> found;
    for (const std::string &level : isa) {
      auto target =
          findTarget(level == "base" ? name.str() : (name + "+" + level).str());
      if (!target)
        return target.takeError();
      found.push_back(*target);
    }
    llvm::sort(found, [](const Target *a, const Target *b) {
      return llvm::popcount(a->cpuFeatures) < llvm::popcount(b->cpuFeatures);
    });
    found.erase(llvm::unique(found), found.end());
    return found;
  }
  if (!family) {
    auto found = findTarget(name);
    if (!found)
      return found.takeError();
    return llvm::SmallVector<const Target *>{*found};
  }
  llvm::SmallVector<const Target *> found;
  for (const std::string &level :
       isa.empty() ? llvm::ArrayRef(family->usual) : isa) {
    auto target = findTarget((name + "-" + level).str());
    if (!target)
      return target.takeError();
    found.push_back(*target);
  }
  llvm::sort(found);
  found.erase(llvm::unique(found), found.end());
  return found;
}

/// Targets beyond the table, by name: with features, or of the user's files.
static llvm::Expected<const Target *>
findDerived(llvm::StringRef name,
            llvm::function_ref<llvm::Expected<Target>()> make) {
  static std::mutex mutex;
  static std::map<std::string, std::unique_ptr<Target>> derived;
  std::lock_guard lock(mutex);
  std::unique_ptr<Target> &slot = derived[name.str()];
  if (!slot) {
    llvm::Expected<Target> made = make();
    if (!made) {
      derived.erase(name.str());
      return made.takeError();
    }
    // The passes ask again, by the name in the file.
    if (made->name != name && !derived.count(made->name.str()))
      derived[made->name.str()] = std::make_unique<Target>(*made);
    slot = std::make_unique<Target>(*made);
  }
  return slot.get();
}

static llvm::Expected<std::string> readText(llvm::StringRef path) {
  auto file = llvm::MemoryBuffer::getFile(path, /*IsText=*/true);
  if (!file)
    return llvm::createStringError("device file %s: %s", path.str().c_str(),
                                   file.getError().message().c_str());
  return (*file)->getBuffer().str();
}

llvm::Expected<const Target *> findTarget(llvm::StringRef name) {
  if (name == "host")
    return &hostTarget();
  for (const Target &target : targetTable())
    if (target.name == name)
      return &target;
  llvm::SmallVector<llvm::StringRef> parts;
  name.split(parts, '+');
  llvm::StringRef base = parts.front();
  auto added = llvm::ArrayRef(parts).drop_front();
  if (base.ends_with(".json"))
    return findDerived(name, [&]() -> llvm::Expected<Target> {
      llvm::Expected<std::string> text = readText(base);
      if (!text)
        return text.takeError();
      return readDevice(*text, base, added);
    });
  llvm::StringRef facts;
  std::string known = "host";
  for (const Target &target : targetTable()) {
    known += ", " + target.name.str();
    if (target.name == base && !target.facts.empty())
      facts = target.facts;
  }
  if (facts.empty() || added.empty())
    return findDerived(name, [&]() -> llvm::Expected<Target> {
      return llvm::createStringError(
          "unknown target '%s': expected one of %s, or a device file (.json)",
          name.str().c_str(), known.c_str());
    });
  return findDerived(name, [&] { return readDevice(facts, base, added); });
}

} // namespace lfmc
