// SPDX-License-Identifier: Apache-2.0
//
// Cross-compiled packages of Android and Apple, checked as objects; sources for
// an application's toolchain; devices.
#include "Cross.h"

#include <nlohmann/json.hpp>

#include <cmath>
#include <cstring>

using nlohmann::json;
namespace fs = std::filesystem;

namespace {

// What the loaders of Android 15 and of iOS want of a library.
struct Device {
  const char *target, *format;
};
class Objects : public testing::TestWithParam<Device> {};

TEST_P(Objects, HideSymbolsAndNeedNothing) {
  std::string package =
      compile(tiny(), std::string("--target ") + GetParam().target, "dev");
  ASSERT_NE(package, "");
  std::string library = package + "/libdev.a";
  Outcome headers =
      shell(LFMC_LLVM_BIN "/llvm-readobj --file-headers " + library);
  EXPECT_NE(headers.out.find(GetParam().format), std::string::npos)
      << headers.out.substr(0, 300);
  bool apple = std::string(GetParam().format).rfind("Mach-O", 0) == 0;
  // All but the program itself is for the archive's own use.
  Outcome symbols = shell(
      apple ? LFMC_LLVM_BIN "/llvm-nm -gm --defined-only " + library
            : LFMC_LLVM_BIN "/llvm-readelf -sW " + library + " | grep -v UND");
  int hidden = 0, visible = 0;
  std::istringstream lines(symbols.out);
  for (std::string line; std::getline(lines, line);) {
    auto says = [&](const char *text) {
      return line.find(text) != std::string::npos;
    };
    if (says(apple ? "private external" : "GLOBAL HIDDEN")) {
      EXPECT_TRUE(says("dev_")) << line; // another model's have other names
      ++hidden;
    } else if (says(apple ? " external " : "GLOBAL DEFAULT")) {
      EXPECT_TRUE(says("dev_program")) << line;
      ++visible;
    }
  }
  EXPECT_GT(hidden, 10);
  EXPECT_EQ(visible, 1);
  Outcome undefined = shell(LFMC_LLVM_BIN "/llvm-nm -u " + library +
                            " | grep ' U ' | grep -v dev_");
  EXPECT_EQ(undefined.out, ""); // no libm, no memcpy
  // Android and Apple keep x18 to themselves.
  Outcome reserved = shell(LFMC_LLVM_BIN "/llvm-objdump -d " + library +
                           " | grep -cE '[^0-9a-z][xw]18[^0-9]'");
  EXPECT_EQ(reserved.out, "0\n");
  EXPECT_TRUE(fs::exists(package + "/runtime/src/Session.cpp"));
  EXPECT_TRUE(fs::exists(package + "/runtime/include/lfm/program.h"));
  if (apple)
    return;
  std::string shared = (Sandbox::get().root / "libdev.so").string();
  Outcome linked =
      shell(LFMC_LLVM_BIN "/ld.lld -shared -z text -z max-page-size=16384 "
                          "--whole-archive " +
            library + " -o " + shared);
  ASSERT_EQ(linked.code, 0) << linked.err;
  Outcome dynamic =
      shell(LFMC_LLVM_BIN "/llvm-readelf --dyn-syms --dynamic -l " + shared);
  EXPECT_EQ(dynamic.out.find("TEXTREL"), std::string::npos);
  EXPECT_NE(dynamic.out.find(" dev_program"), std::string::npos);
  size_t loads = 0;
  std::istringstream table(dynamic.out);
  for (std::string line; std::getline(table, line);) {
    if (line.find(" LOAD ") != std::string::npos) {
      ++loads;
      EXPECT_NE(line.find("0x4000"), std::string::npos) << line;
    }
    if (line.find(" GLOBAL ") != std::string::npos)
      EXPECT_NE(line.find("dev_program"), std::string::npos) << line;
  }
  EXPECT_GE(loads, 3u);
}

INSTANTIATE_TEST_SUITE_P(
    , Objects,
    testing::Values(
        Device{"android-arm64", "elf64-littleaarch64"},
        Device{"snapdragon-8-elite", "elf64-littleaarch64"},
        Device{"snapdragon-8-elite-gen5+sme --quant q4 --calibrate none",
               "elf64-littleaarch64"},
        Device{"ios-arm64", "Mach-O arm64"},
        Device{"macos-arm64+i8mm", "Mach-O arm64"},
        Device{"apple-m4+sme2 --quant q4 --calibrate none", "Mach-O arm64"}),
    [](const auto &info) { return testName(info.param.target); });

// An application's own toolchain builds the runtime of a package that carries
// its sources; Debian's stands for the NDK's.
TEST(Sources, BuildByTheApplicationsToolchain) {
  if (!has("qemu-aarch64") || !has("aarch64-linux-gnu-gcc"))
    GTEST_SKIP() << "NOT TESTED: no qemu-aarch64 or no cross compiler";
  std::string package =
      compile(example, "--target android-arm64+dotprod", "phone");
  ASSERT_NE(package, "");
  fs::path app = Sandbox::get().root / "app";
  fs::create_directories(app);
  std::ofstream(app / "CMakeLists.txt")
      << "cmake_minimum_required(VERSION 3.18)\nproject(app CXX)\n"
         "find_package(phone REQUIRED)\nadd_executable(app "
      << package
      << "/main.cpp)\ntarget_link_libraries(app phone::phone)\n"
         "target_link_options(app PRIVATE -static)\n";
  Outcome built = shell(
      LFMC_CMAKE " -G Ninja -S " + app.string() + " -B " + app.string() +
      "/build -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 "
      "-DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++ -DCMAKE_PREFIX_PATH=" +
      package +
      " -DCMAKE_FIND_ROOT_PATH_MODE_PACKAGE=BOTH && " LFMC_CMAKE " --build " +
      app.string() + "/build");
  ASSERT_EQ(built.code, 0) << built.out << built.err;
  Outcome run = shell("cd " + package + " && qemu-aarch64 -cpu max " +
                      app.string() + "/build/app 'It is a truth' | head -c 40");
  EXPECT_GT(run.out.size(), 20u) << run.err;
  // A processor without what the package was compiled for.
  Outcome older = shell("cd " + package + " && qemu-aarch64 -cpu cortex-a72 " +
                        app.string() + "/build/app x");
  EXPECT_NE(older.err.find("this processor lacks dot product"),
            std::string::npos)
      << older.err;
}

// A model with stated assumptions; here only what must hold of any.
TEST(Devices, PredictSpeed) {
  if (!has("llvm-mca-22") && !has("llvm-mca"))
    GTEST_SKIP() << "NOT TESTED: no llvm-mca";
  auto predict = [](const std::string &device, const std::string &flags) {
    Outcome outcome =
        runLfmc("predict " + example.string() + " --device " + device +
                " --quant q4 --calibrate none --json " + flags);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return outcome.code ? json() : json::parse(outcome.out);
  };
  json pi = predict("raspberry-pi-5", ""),
       phone = predict("snapdragon-8-elite", ""),
       shallow = predict("raspberry-pi-5", "--depth 0"),
       one = predict("raspberry-pi-5", "--cores 1");
  ASSERT_TRUE(pi.is_object() && phone.is_object() && shallow.is_object() &&
              one.is_object());
  EXPECT_GT(phone["decode_tokens_per_second"], pi["decode_tokens_per_second"]);
  EXPECT_GT(phone["prefill_tokens_per_second"],
            pi["prefill_tokens_per_second"]);
  EXPECT_GE(shallow["decode_tokens_per_second"],
            pi["decode_tokens_per_second"]);
  EXPECT_LT(shallow["decode_bytes"], pi["decode_bytes"]);
  double four = pi["prefill_tokens_per_second"],
         single = one["prefill_tokens_per_second"];
  EXPECT_NEAR(four / single, 4, 1e-6);
  EXPECT_GT(pi["loops"].size(), 1u);
  EXPECT_GT(pi["assumptions"].size(), 2u);
  // Products and unpackings of one token share four pipes: instructions that
  // the model of a core lacks must not be free.
  int seen = 0;
  for (const std::string loop : phone["loops"]) {
    double cycles = 0, products = 0;
    if (sscanf(loop.c_str(), "oryon-1: linear q4, 1 tokens: %lf cycles for %lf",
               &cycles, &products) != 2)
      continue;
    EXPECT_GE(cycles, products / 32) << loop;
    ++seen;
  }
  EXPECT_GT(seen, 0) << phone["loops"];
  expectError(
      runLfmc("predict " + example.string() + " --device aarch64-linux"),
      "nothing is known of its cores and memory");
}

TEST(Devices, RefuseWhatIsUnknown) {
  auto refuse = [](const std::string &target, const std::string &message) {
    expectError(runLfmc("compile " + tiny() + " -o " +
                        (Sandbox::get().root / "none").string() + " --target " +
                        target),
                message);
  };
  refuse("raspberry-pi-4", "unknown target 'raspberry-pi-4'");
  refuse("raspberry-pi-5+i8mm", "raspberry-pi-5 lacks the feature 'i8mm'");
  refuse("aarch64-linux+sse", "lacks the feature 'sse'");
  fs::path file = Sandbox::get().root / "board.json";
  refuse(file.string(), "board.json: ");
  std::ofstream(file) << "{\"name\": \"board\"}";
  refuse(file.string(), "expected a text 'summary'");
  std::ofstream(file) << "[";
  refuse(file.string(), "board.json: ");
  std::ofstream(file) << R"({"name": "board", "summary": "a board",
    "family": "arm64", "system": "linux", "cpu": "cortex-b76",
    "features": [], "optional": [], "l1_kib": 64, "l2_kib": 256})";
  refuse(file.string(), "unknown 'cpu' 'cortex-b76'");
  // A board of the user's.
  std::ofstream(file) << R"({"name": "board", "summary": "a board",
    "family": "arm64", "system": "linux", "cpu": "cortex-a76",
    "features": ["dotprod"], "optional": [], "l1_kib": 64, "l2_kib": 256})";
  std::string package = compile(tiny(), "--target " + file.string(), "board");
  ASSERT_NE(package, "");
  EXPECT_EQ(json::parse(readFile(package + "/board.json"))["target"]["name"],
            "board");
  expectError(runLfmc("verify " + package + " " + golden("dense-b-bf16") +
                      " --runner 'false'"),
              "the runner failed");
  expectError(runLfmc("bench " + package + " --runner true --isa base"),
              "--isa: not with --runner");
  expectError(runLfmc("verify " + package + " " + golden("dense-b-bf16") +
                      " --runner true --isa base"),
              "--isa: not with --runner");
}

// Packages for other machines, where a runner is missing.
TEST(Devices, RunOnlyByARunner) {
  for (const std::string target : {"aarch64-linux", "hexagon-v66"}) {
    SCOPED_TRACE(target);
    std::string package =
        compile(tiny(), "--target " + target + " --max-context 32", "foreign");
    ASSERT_NE(package, "");
    expectError(runLfmc("run " + package + " --prompt x"),
                "compiled for " + target);
    expectError(runLfmc("verify " + package + " " + golden("dense-b-bf16")),
                "take a --runner");
    fs::remove_all(package);
  }
}

} // namespace
