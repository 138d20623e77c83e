// SPDX-License-Identifier: Apache-2.0
//
// The instructions of kernels for every version of Hexagon.
#include "tests/codegen/halide/Assembly.h"
#include "tests/codegen/halide/QuantizedFixture.h"
#include "tests/codegen/llvm/micro/HvxCases.h"

#include <cstdio>
#include <sstream>
#include <tuple>

namespace lfmc::halide::test {
namespace {

/// Packets and vrmpy of the innermost hardware loop with vrmpy.
struct Loop {
  int packets = 0, products = 0;
};
Loop loopOf(const std::string &text) {
  Loop loop, found;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind(".LBB", 0) == 0)
      loop = {};
    loop.packets += line.find('{') != std::string::npos;
    loop.products += line.find("vrmpy(") != std::string::npos;
    if (line.find(":endloop0") != std::string::npos && loop.products)
      found = loop;
  }
  return found;
}

std::string text(const MicroKernel &kernel, const std::string &version) {
  return assemblyBy([&](Emit what, const std::string &path) {
    return emitMicro(kernel, "kernel", hexagon(version), what, path);
  });
}

TEST(HvxInstructions, ProductsFillPackets) {
  for (const char *version :
       {"v66", "v68", "v69", "v73", "v75", "v79", "v81"}) {
    SCOPED_TRACE(version);
    // One load a packet bounds one token: 17 packets.
    for (auto [tokens, k, least] : {std::tuple(1, 1024, 16.0 / 17),
                                    {1, 4608, 16.0 / 17},
                                    {2, 1024, 1.0},
                                    {2, 4608, 1.0},
                                    {4, 1024, 1.0},
                                    {4, 2048, 1.0},
                                    {4, 4608, 1.0}}) {
      MicroKernel kernel = quantizedTile(Q8, 64, tokens);
      kernel.ints["k"] = k;
      kernel.ints["raised"] = 1;
      const Loop loop = loopOf(text(kernel, version));
      EXPECT_EQ(loop.products, 16 * tokens);
      EXPECT_GE(loop.products, least * loop.packets) << tokens << ", k " << k;
    }
  }
}

/// linear_q with what follows the sums.
std::vector<FloatCase> finishedCases() {
  std::vector<FloatCase> all;
  for (int tokens : {1, 4})
    for (bool swiglu : {true, false}) {
      MicroKernel kernel = quantizedTile(Q8, 64, tokens);
      kernel.ints["raised"] = 1;
      kernel.ints["bias"] = 1;
      kernel.ints[swiglu ? "swiglu" : "residual"] = 1;
      all.push_back({kernel, {tokens}});
    }
  return all;
}

TEST(HvxInstructions, GatesAreInVectors) {
  const std::regex scalar("= sf(add|sub|mpy|min|max)|= sfmpy|sfrecipa");
  const std::regex vector("qf32");
  for (const char *version : {"v66", "v68", "v69", "v73", "v75", "v79", "v81"})
    for (const FloatCase &c : finishedCases()) {
      const std::string assembly = text(c.kernel, version);
      auto occurs = [&](const std::regex &regex) {
        return std::distance(
            std::sregex_iterator(assembly.begin(), assembly.end(), regex),
            std::sregex_iterator());
      };
      const int tokens = c.sizes[0];
      const bool swiglu = c.kernel.ints.count("swiglu");
      SCOPED_TRACE(version + std::string(swiglu ? " swiglu, " : " residual, ") +
                   std::to_string(tokens));
      std::printf("%s swiglu %d tokens %d: %d scalar, %d qf32\n", version,
                  swiglu, tokens, int(occurs(scalar)), int(occurs(vector)));
      if (version == std::string("v66")) {
        EXPECT_EQ(occurs(vector), 0);
        continue;
      }
      // One multiplication of a token's xs remains, in each copy of the loop.
      EXPECT_LE(occurs(scalar), 2 * tokens);
      EXPECT_GT(occurs(vector), (swiglu ? 30 : 4) * tokens);
    }
}

TEST(HvxInstructions, FloatsAreInVectors) {
  for (const char *version : {"v66", "v68", "v69", "v73", "v75", "v79", "v81"})
    for (const FloatCase &c : floatCases()) {
      SCOPED_TRACE(c.kernel.family + " " + version);
      const std::string assembly = text(c.kernel, version);
      auto occurs = [&](const char *pattern) {
        const std::regex regex(pattern);
        return std::distance(
            std::sregex_iterator(assembly.begin(), assembly.end(), regex),
            std::sregex_iterator());
      };
      const auto scalar = occurs("= sf(add|sub|mpy|min|max)|= sfmpy");
      if (version == std::string("v66")) {
        EXPECT_EQ(occurs("qf32"), 0);
        EXPECT_GT(scalar, 0);
        continue;
      }
      EXPECT_GT(occurs("qf32"), 10);
      // What is one a row or a head: the norm's root, maxima and sums.
      const bool whole =
          c.kernel.family != "rms_norm" && c.kernel.family != "attention_block";
      EXPECT_LE(scalar, whole ? 0 : c.kernel.family == "rms_norm" ? 45 : 240);
    }
}

} // namespace
} // namespace lfmc::halide::test
