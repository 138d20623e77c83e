// SPDX-License-Identifier: Apache-2.0
//
// Cross-compiled packages: those of 64-bit Arm Linux run under qemu-aarch64,
// those of Android and Apple are checked as objects.
#include "Shell.h"

#include "targets/Target.h"

#include <nlohmann/json.hpp>

#include <cmath>
#include <cstring>

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
  for (const std::string model : {"dense-b-bf16", "dense-a-bf16", "dense-b-f32",
                                  "moe-8e-bf16-biasf32", "moe-32e-bf16"}) {
    SCOPED_TRACE(model);
    std::string package = compile(
        checkpoint(model),
        std::string("--max-context 1500 --target ") + GetParam().target, "arm");
    // All prompts of one model, a short and a long one of the others.
    const bool all = model == "dense-b-bf16";
    Outcome verified = runLfmc("verify --json --threads 2 --case " +
                               std::string(all ? "p0,p1,p2,p3 " : "p0,p2 ") +
                               package + " " + golden(model) + runner());
    ASSERT_EQ(verified.err, "");
    EXPECT_EQ(verified.code, 0) << verified.out;
    json report = json::parse(verified.out);
    EXPECT_EQ(report["cases"], all ? 4 : 2);
    EXPECT_LE(report["logits"]["max_abs_error"], 2e-4);
    EXPECT_EQ(report["greedy"]["wrong"], 0);
    EXPECT_EQ(report["passed"], true);
  }
}

// Quantized weights: a prompt, its tokens one by one and in pieces give the
// same bits, whichever kernels compute them; and what quantizing costs a model
// of random weights is what it costs on this machine.
TEST_P(Arm, QuantizedAsOnThisMachine) {
  const bool matrix = std::string(GetParam().cpu) == "max";
  const std::string common =
      "--case p2,p3 --json --tolerance 100 --gap 100 --consistency ";
  for (const std::string kind : {"q8", "q4", "q6", "q4m/64"}) {
    if (!matrix && kind != "q4" && kind != "q8")
      continue;
    SCOPED_TRACE(kind);
    const std::string flags =
        "--calibrate none --max-context 128 --quant " + kind;
    Outcome here = runLfmc("verify " + common + "1e-4 " + tiny() + " " +
                           golden("dense-b-bf16") + " " + flags);
    ASSERT_EQ(here.code, 0) << here.err << here.out;
    std::string package =
        compile(tiny(), flags + " --target " + GetParam().target, "quant");
    Outcome there = runLfmc("verify " + common + "0 " + package + " " +
                            golden("dense-b-bf16") + runner());
    ASSERT_EQ(there.err, "");
    EXPECT_EQ(there.code, 0) << there.out;
    double wanted =
        json::parse(here.out)["logits"]["max_abs_error"].get<double>();
    double found =
        json::parse(there.out)["logits"]["max_abs_error"].get<double>();
    // Norms are summed in another order, so that some activations round to the
    // int8 beside: 14 % for q8, less for others. All Arm levels agree.
    EXPECT_NEAR(found, wanted, 0.3 * wanted);
  }
}

std::vector<float> logitsOf(const std::string &compiler,
                            const std::string &emulator,
                            const std::string &package) {
  const fs::path root = Sandbox::get().root;
  const std::string program = (root / "logits").string();
  std::ofstream ids(root / "ids", std::ios::binary);
  for (int32_t id = 9; id < 50; id += 2)
    ids.write(reinterpret_cast<const char *>(&id), sizeof id);
  ids.close();
  Outcome built = shell(
      compiler + " -O1 " LFMC_SOURCE_DIR "/programs/logits.c -I" + package +
      " -L" + package + " -static -lcpu -lpthread -lm -o " + program);
  EXPECT_EQ(built.code, 0) << built.err;
  Outcome run =
      shell(emulator + " " + program + " " + package + "/cpu.weights " +
            (root / "ids").string() + " " + (root / "out").string() + " 0");
  EXPECT_EQ(run.code, 0) << run.err;
  std::string bytes = readFile(root / "out");
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), values.size() * sizeof(float));
  return values;
}

// A mixture of random weights, both matrices of its experts quantized, token by
// token. Until an activation lies between two codes the logits are those of
// this machine.
TEST_P(Arm, QuantizedExpertsAsOnThisMachine) {
  const std::string model = (Sandbox::get().root / "mixture").string();
  fs::remove_all(model);
  Outcome made = runLfmc("synth tiny --experts 8 --experts-per-token 3 "
                         "--dtype f32 -o " +
                         model);
  ASSERT_EQ(made.code, 0) << made.err;
  for (const std::string kind : {"q8", "q4"}) {
    SCOPED_TRACE(kind);
    const std::string flags =
        "--calibrate none --max-context 64 --force --quant " + kind;
    std::string here = compile(model, flags + " --target x86-64-v2", "cpu");
    std::vector<float> wanted = logitsOf("cc", "", here);
    std::string there =
        compile(model, flags + " --target " + GetParam().target, "cpu");
    std::vector<float> found =
        logitsOf("aarch64-linux-gnu-gcc",
                 std::string("qemu-aarch64 -cpu ") + GetParam().cpu, there);
    ASSERT_EQ(found.size(), wanted.size());
    constexpr size_t vocab = 512;
    ASSERT_EQ(wanted.size() % vocab, 0u);
    float largest = 0, error = 0, first = 0;
    for (size_t i = 0; i < wanted.size(); ++i) {
      largest = std::max(largest, std::fabs(wanted[i]));
      error = std::max(error, std::fabs(found[i] - wanted[i]));
      if (i < vocab)
        first = error;
    }
    EXPECT_GT(largest, 0);
    EXPECT_LE(first, 1e-5f * largest);
    EXPECT_LE(error, 0.05f * largest);
  }
}

INSTANTIATE_TEST_SUITE_P(, Arm,
                         testing::Values(Level{"aarch64-linux", "cortex-a72"},
                                         Level{"raspberry-pi-5", "cortex-a76"},
                                         Level{"aarch64-linux+dotprod+i8mm",
                                               "max"}),
                         [](const auto &info) {
                           std::string name = info.param.target;
                           for (char &c : name)
                             if (!isalnum(c))
                               c = '_';
                           return name;
                         });

// A package that may use SVE2 does not depend on the length of its vectors.
TEST(Sve, EqualsTransformersAtAnyVectorLength) {
  if (!has("qemu-aarch64") || !has("aarch64-linux-gnu-gcc"))
    GTEST_SKIP() << "NOT TESTED: no qemu-aarch64 or no cross compiler";
  std::string package = compile(
      checkpoint("dense-b-bf16"),
      "--max-context 1500 --target aarch64-linux+dotprod+i8mm+sve2", "sve");
  std::string before;
  for (const char *length : {"sve128", "sve256"}) {
    SCOPED_TRACE(length);
    Outcome verified = runLfmc(
        "verify --json --case p0,p2 " + package + " " + golden("dense-b-bf16") +
        " --runner 'qemu-aarch64 -cpu max," + length + "=on'");
    ASSERT_EQ(verified.err, "");
    EXPECT_EQ(verified.code, 0) << verified.out;
    json report = json::parse(verified.out);
    EXPECT_LE(report["logits"]["max_abs_error"], 2e-4);
    std::string logits = report["logits"].dump();
    EXPECT_TRUE(before.empty() || before == logits) << before << logits;
    before = logits;
  }
  expectError(runLfmc("verify --case p0 " + package + " " +
                      golden("dense-b-bf16") +
                      " --runner 'qemu-aarch64 -cpu cortex-a76'"),
              "this processor lacks");
}

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
    if (sscanf(loop.c_str(),
               "oryon-1: linear_q of kind 4, 1 tokens: %lf cycles for %lf",
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

// Several levels of one device in one library.
TEST(Levels, ChooseByTheProcessor) {
  if (!has("qemu-aarch64") || !has("aarch64-linux-gnu-gcc"))
    GTEST_SKIP() << "NOT TESTED: no qemu-aarch64 or no cross compiler";
  std::string package = compile(tiny(),
                                "--max-context 256 --target aarch64-linux "
                                "--isa base,dotprod,dotprod+i8mm --quant q8",
                                "levels");
  ASSERT_NE(package, "");
  for (const char *cpu : {"cortex-a72", "cortex-a76", "max"}) {
    SCOPED_TRACE(cpu);
    Outcome verified =
        runLfmc("verify --json --case p2 --tolerance 100 --consistency 0 "
                "--gap 100 " +
                package + " " + golden("dense-b-bf16") +
                " --runner 'qemu-aarch64 -cpu " + cpu + "'");
    EXPECT_EQ(verified.code, 0) << verified.err << verified.out;
  }
  expectError(runLfmc("compile " + tiny() + " -o " + package +
                      " --target raspberry-pi-5 --isa base,i8mm"),
              "lacks the feature 'i8mm'");
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
