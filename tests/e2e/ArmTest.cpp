// SPDX-License-Identifier: Apache-2.0
//
// Cross-compiled packages: those of 64-bit Arm Linux run under qemu-aarch64,
// those of Android and Apple are checked as objects.
#include "Shell.h"

#include "targets/Target.h"

#include <nlohmann/json.hpp>

using nlohmann::json;
namespace fs = std::filesystem;

namespace {

const fs::path example = LFMC_EXAMPLES "/lfm2-small-dense";

bool has(const std::string &program) {
  return shell("command -v " + program).code == 0;
}

/// Compiles into the sandbox; "" after a failure.
std::string compile(const std::string &model, const std::string &flags,
                    const std::string &name) {
  std::string package = (Sandbox::get().root / name).string();
  Outcome compiled = runLfmc("compile " + model + " -o " + package + " " +
                             flags + " --name " + name);
  EXPECT_EQ(compiled.code, 0) << compiled.err;
  return compiled.code ? "" : package;
}

struct Level {
  const char *target, *cpu; ///< of lfmc; of qemu
};

/// qemu's processors: A72 has nothing beyond Armv8.0, A76 has dotprod and fp16.
class Arm : public testing::TestWithParam<Level> {
protected:
  void SetUp() override {
    if (!has("qemu-aarch64") || !has("aarch64-linux-gnu-gcc"))
      GTEST_SKIP() << "NOT TESTED: no qemu-aarch64 or no cross compiler";
  }
  std::string runner() const {
    return std::string(" --runner 'qemu-aarch64 -cpu ") + GetParam().cpu + "'";
  }
};

TEST_P(Arm, EqualsTransformers) {
  std::string package =
      compile(checkpoint("dense-b-bf16"),
              std::string("--max-context 1500 --target ") + GetParam().target,
              "arm");
  Outcome verified = runLfmc("verify --json --threads 2 --case p0,p1,p2,p3 " +
                             package + " " + golden("dense-b-bf16") + runner());
  ASSERT_EQ(verified.err, "");
  EXPECT_EQ(verified.code, 0) << verified.out;
  json report = json::parse(verified.out);
  EXPECT_EQ(report["cases"], 4);
  EXPECT_LE(report["logits"]["max_abs_error"], 2e-4);
  EXPECT_EQ(report["greedy"]["wrong"], 0);
  EXPECT_EQ(report["passed"], true);
}

// Weights of 4 and 8 bits: all ways to read a prompt agree, the text is that of
// the reference, and the loss is near to it.
TEST_P(Arm, QuantizedFollowsTheReference) {
  const char *quant[] = {"q4", "q8"};
  const double tolerance[] = {12, 1.5};
  for (int i = 0; i < 2; ++i) {
    SCOPED_TRACE(quant[i]);
    std::string package = compile(
        example, std::string("--calibrate none --max-context 1024 --quant ") +
                     quant[i] + " --target " + GetParam().target,
        "small");
    Outcome verified = runLfmc(
        "verify --json --tolerance " + std::to_string(tolerance[i]) +
        " --consistency 2e-3 --gap 3 " + package + " " +
        golden("lfm2-small-dense") + runner());
    ASSERT_EQ(verified.err, "");
    json report = json::parse(verified.out);
    EXPECT_EQ(report["decode_minus_prefill"]["passed"], true) << verified.out;
    EXPECT_EQ(report["chunked_minus_whole"]["passed"], true) << verified.out;
    EXPECT_EQ(report["logits"]["passed"], true) << verified.out;
    EXPECT_EQ(report["greedy"]["wrong"], 0) << verified.out;
  }
}

INSTANTIATE_TEST_SUITE_P(
    , Arm,
    testing::Values(Level{"aarch64-linux", "cortex-a72"},
                    Level{"raspberry-pi-5", "cortex-a76"},
                    Level{"aarch64-linux+dotprod+i8mm", "max"}),
    [](const auto &info) {
      std::string name = info.param.target;
      for (char &c : name)
        if (!isalnum(c))
          c = '_';
      return name;
    });

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
  Outcome headers = shell(LFMC_LLVM_BIN "/llvm-readobj --file-headers " + library);
  EXPECT_NE(headers.out.find(GetParam().format), std::string::npos)
      << headers.out.substr(0, 300);
  bool apple = std::string(GetParam().format).rfind("Mach-O", 0) == 0;
  // All but the program itself is for the archive's own use.
  Outcome symbols =
      shell(LFMC_LLVM_BIN "/llvm-readobj --symbols " + library +
            (apple ? " | grep -B8 'Private External' " : " | grep -A6 Name: ") +
            " | grep -c .");
  EXPECT_GT(std::stoi(symbols.out), 10);
  Outcome exported = shell(LFMC_LLVM_BIN "/llvm-nm -g --defined-only " + library);
  int visible = 0;
  std::istringstream lines(exported.out);
  for (std::string line; std::getline(lines, line);)
    if (line.find(" T ") != std::string::npos ||
        line.find(" S ") != std::string::npos ||
        line.find(" R ") != std::string::npos ||
        line.find(" D ") != std::string::npos) {
      EXPECT_NE(line.find("dev_"), std::string::npos) << line;
      ++visible;
    }
  EXPECT_GT(visible, 3);
  Outcome undefined = shell(LFMC_LLVM_BIN "/llvm-nm -u " + library +
                            " | grep ' U ' | grep -v dev_");
  EXPECT_EQ(undefined.out, ""); // no libm, no memcpy
  EXPECT_TRUE(fs::exists(package + "/runtime/src/Session.cpp"));
  EXPECT_TRUE(fs::exists(package + "/runtime/include/lfm/program.h"));
  if (apple)
    return;
  std::string shared = package + "/libdev.so";
  Outcome linked =
      shell(LFMC_LLVM_BIN "/ld.lld -shared -z text -z max-page-size=16384 "
            "--whole-archive " + library + " -o " + shared);
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
    testing::Values(Device{"android-arm64", "elf64-littleaarch64"},
                    Device{"snapdragon-8-elite", "elf64-littleaarch64"},
                    Device{"ios-arm64", "Mach-O arm64"},
                    Device{"macos-arm64+i8mm", "Mach-O arm64"}),
    [](const auto &info) {
      std::string name = info.param.target;
      for (char &c : name)
        if (!isalnum(c))
          c = '_';
      return name;
    });

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
      package + " -DCMAKE_FIND_ROOT_PATH_MODE_PACKAGE=BOTH && " LFMC_CMAKE
                " --build " + app.string() + "/build");
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
}

} // namespace
