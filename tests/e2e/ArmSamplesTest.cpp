// SPDX-License-Identifier: Apache-2.0
//
// What an application makes of a package for Android or Apple: shared objects,
// and the samples of examples/ as they stand. Debian's compiler stands for the
// NDK's; Gradle, Kotlin and Swift are not run.
#include "Cross.h"

#include <map>
#include <regex>
#include <set>

namespace fs = std::filesystem;

namespace {

const fs::path samples = fs::path(LFMC_EXAMPLES);

// Links shared objects like -nostdlib++ does, and refuses what is undefined.
const std::string toolchain =
    " -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 "
    "-DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++ "
    "-DCMAKE_CXX_STANDARD_LIBRARIES='-lc -lgcc' "
    "-DCMAKE_SHARED_LINKER_FLAGS='-nodefaultlibs -Wl,--no-undefined "
    "-Wl,-z,text'";

/// Builds `source` below itself; false after a failure.
bool build(const fs::path &source, const std::string &flags) {
  const std::string to = (source / "build").string();
  Outcome built =
      shell(LFMC_CMAKE " -G Ninja -S " + source.string() + " -B " + to +
            toolchain + " " + flags + " && " LFMC_CMAKE " --build " + to);
  EXPECT_EQ(built.code, 0) << built.out << built.err;
  return built.code == 0;
}

/// Checks what a loader of Android wants, and returns the exported symbols, one
/// a line.
std::string exportsOf(const fs::path &library) {
  Outcome table =
      shell(LFMC_LLVM_BIN "/llvm-readelf -W --dynamic -l " + library.string());
  EXPECT_EQ(table.code, 0) << table.err;
  EXPECT_EQ(table.out.find("TEXTREL"), std::string::npos);
  size_t needed = 0, loads = 0;
  std::istringstream lines(table.out);
  for (std::string line; std::getline(lines, line);) {
    if (line.find(" LOAD ") != std::string::npos) {
      ++loads;
      EXPECT_NE(line.find(" 0x4000"), std::string::npos) << line;
    }
    const size_t name = line.find("Shared library: [");
    if (name == std::string::npos)
      continue;
    ++needed;
    EXPECT_EQ(line.find("++", name), std::string::npos) << line;
  }
  EXPECT_GE(loads, 2u);
  EXPECT_GE(needed, 1u); // the C library
  return shell(LFMC_LLVM_BIN "/llvm-nm -D --defined-only --format=just-symbols "
                             "--no-weak " +
               library.string())
      .out;
}

// An application may do without a C++ library, or choose its own.
TEST(AndroidPackage, NeedsNoCxxLibrary) {
  if (!has("aarch64-linux-gnu-g++"))
    GTEST_SKIP() << "NOT TESTED: no cross compiler";
  std::string package = compile(tiny(), "--target android-arm64", "shared");
  ASSERT_NE(package, "");
  fs::path app = Sandbox::get().root / "sharedapp";
  fs::create_directories(app);
  std::ofstream(app / "app.cpp")
      << "#include <shared.h>\n"
         "extern \"C\" lfm_status app_run(const char *path) {\n"
         "  lfm_model *model;\n  lfm_session *session;\n"
         "  shared_open(path, &model, 0, 0);\n"
         "  lfm_session_create(model, 0, &session, 0, 0);\n"
         "  return lfm_generate(session, 0, 0, 0, 0, 0, 0);\n}\n";
  std::ofstream(app / "CMakeLists.txt")
      << "cmake_minimum_required(VERSION 3.18)\nproject(app CXX)\n"
         "find_package(shared REQUIRED NO_CMAKE_FIND_ROOT_PATH)\n"
         "add_library(app SHARED app.cpp)\n"
         "target_link_libraries(app shared::shared)\n";
  ASSERT_TRUE(build(app, "-DCMAKE_PREFIX_PATH=" + package));
  EXPECT_NE(exportsOf(app / "build/libapp.so").find("app_run\n"),
            std::string::npos);
  // The NDK's other choices hide even <atomic> and <new>, which the runtime
  // includes.
  const std::string gradle = readFile(samples / "android/app/build.gradle.kts");
  EXPECT_NE(gradle.find("externalNativeBuild"), std::string::npos);
  EXPECT_EQ(gradle.find("ANDROID_STL=none"), std::string::npos);
  EXPECT_EQ(gradle.find("ANDROID_STL=system"), std::string::npos);
}

/// The groups of each place of `text` where `expression` is.
std::vector<std::vector<std::string>> matches(const std::string &text,
                                              const std::string &expression) {
  const std::regex compiled(expression);
  std::vector<std::vector<std::string>> found;
  for (std::sregex_iterator it(text.begin(), text.end(), compiled), end;
       it != end; ++it)
    found.emplace_back(it->begin(), it->end());
  return found;
}

/// "Java_lfm_Model_open(jstring) jlong" of each native function of `kotlin`.
std::set<std::string> nativesOfKotlin(const std::string &kotlin) {
  const std::map<std::string, std::string> types = {
      {"", "void"},
      {"Long", "jlong"},
      {"String", "jstring"},
      {"Listener", "jobject"},
      {"ByteArray", "jbyteArray"}};
  std::set<std::string> natives;
  const std::string name = matches(kotlin, "package ([a-z.]+)").at(0)[1];
  for (const auto &function : matches(
           kotlin,
           R"(@JvmStatic private external fun (\w+)\((.*)\)(?:: (\w+))?)")) {
    std::string native = "Java_" + name + "_Model_" + function[1] + "(";
    for (const auto &one : matches(function[2], R"(\w+: (\w+))"))
      native += types.at(one[1]) + ",";
    natives.insert(native + ")" + types.at(function[3]));
  }
  return natives;
}

/// The same of the exported functions of `cpp`.
std::set<std::string> nativesOfCpp(const std::string &cpp) {
  std::set<std::string> natives;
  for (const auto &function :
       matches(cpp, R"(JNIEXPORT (\w+) JNICALL\s+(\w+)\(\s*JNIEnv \*\w*,)"
                    R"(\s*jclass((?:,\s*\w+\s+\w+)*)\))")) {
    std::string native = function[2] + "(";
    for (const auto &one : matches(function[3], R"((\w+)\s+\w+)"))
      native += one[1] + ",";
    natives.insert(native + ")" + function[1]);
  }
  return natives;
}

// The native half as Gradle would have it built.
TEST(AndroidSample, ExportsWhatKotlinDeclares) {
  const std::string kotlin =
      readFile(samples / "android/app/src/main/kotlin/lfm/Model.kt");
  const std::set<std::string> natives = nativesOfKotlin(kotlin);
  EXPECT_EQ(natives.size(), matches(kotlin, "external").size());
  EXPECT_EQ(natives.size(), 3u);
  EXPECT_EQ(natives, nativesOfCpp(readFile(
                         samples / "android/app/src/main/cpp/jni.cpp")));

  if (!has("aarch64-linux-gnu-g++"))
    GTEST_SKIP() << "NOT TESTED: no cross compiler";
  const fs::path sample = Sandbox::get().root / "android";
  fs::copy(samples / "android", sample, fs::copy_options::recursive);
  ASSERT_NE(compile(tiny(), "--target android-arm64+dotprod", "model"), "");
  fs::rename(Sandbox::get().root / "model", sample / "model");
  const fs::path native = sample / "app/src/main/cpp";
  ASSERT_TRUE(build(native, "-DCMAKE_CXX_FLAGS=-I" LFMC_SOURCE_DIR "/jni"));
  std::string wanted;
  for (const std::string &one : natives)
    wanted += one.substr(0, one.find('(')) + "\n";
  EXPECT_EQ(exportsOf(native / "build/liblfm_jni.so"), wanted);
  EXPECT_NE(kotlin.find("System.loadLibrary(\"lfm_jni\")"), std::string::npos);
}

// What Apple's linkers check or put into a library.
class ApplePackage : public testing::TestWithParam<const char *> {};

TEST_P(ApplePackage, LinksAgainstLibSystemAlone) {
  const bool ios = std::string(GetParam()) == "ios-arm64";
  if (!fs::exists(LFMC_LLVM_BIN "/ld64.lld"))
    GTEST_SKIP() << "NOT TESTED: no ld64.lld";
  std::string package =
      compile(example, std::string("--target ") + GetParam(), "apple");
  ASSERT_NE(package, "");
  const std::string archive = package + "/libapple.a",
                    minimum = ios ? "15.0" : "12.0";
  const std::string version = std::string("platform ") +
                              (ios ? "ios" : "macos") +
                              R"(\s+sdk n/a\s+minos )" + minimum + "\n";
  Outcome commands =
      shell(LFMC_LLVM_BIN "/llvm-objdump --macho --private-headers " + archive);
  const size_t members = matches(commands.out, "cmd LC_SEGMENT_64").size();
  EXPECT_GT(members, 10u);
  EXPECT_EQ(matches(commands.out, "cmd LC_BUILD_VERSION").size(), members);
  EXPECT_EQ(matches(commands.out, version).size(), members);

  // All that a package may call: what docs/cli.md says.
  const fs::path root = Sandbox::get().root;
  std::ofstream(root / "libSystem.tbd")
      << "--- !tapi-tbd\ntbd-version: 4\ntargets: [ arm64-macos, arm64-ios ]\n"
         "install-name: '/usr/lib/libSystem.B.dylib'\nexports:\n"
         "  - targets: [ arm64-macos, arm64-ios ]\n"
         "    symbols: [ _memset_pattern16, dyld_stub_binder ]\n...\n";
  const std::string library = (root / "libapple.dylib").string();
  Outcome linked =
      shell(LFMC_LLVM_BIN "/ld64.lld -dylib -arch arm64 -platform_version " +
            std::string(ios ? "ios " : "macos ") + minimum + " " + minimum +
            " -all_load " + archive + " " + (root / "libSystem.tbd").string() +
            " -o " + library);
  ASSERT_EQ(linked.code, 0) << linked.err;
  EXPECT_EQ(linked.err, "");
  EXPECT_EQ(shell(LFMC_LLVM_BIN
                  "/llvm-nm -g --defined-only --format=just-symbols " +
                  library)
                .out,
            "_apple_program\n");
}

INSTANTIATE_TEST_SUITE_P(, ApplePackage,
                         testing::Values("macos-arm64", "ios-arm64"),
                         [](const auto &info) { return testName(info.param); });

// Swift's compiler imports C by clang's modules. SwiftPM makes that of CLfm,
// whose umbrella are all headers in its folder.
TEST(SwiftSample, FindsItsNamesInThePackage) {
  if (!fs::exists(LFMC_LLVM_BIN "/clang"))
    GTEST_SKIP() << "NOT TESTED: no clang";
  const fs::path sample = Sandbox::get().root / "swift";
  fs::copy(samples / "swift", sample, fs::copy_options::recursive);
  ASSERT_NE(compile(tiny(), "--target macos-arm64", "model"), "");
  fs::rename(Sandbox::get().root / "model", sample / "model");
  const std::string manifest = readFile(sample / "Package.swift");
  for (const auto &path : matches(manifest, "path: \"([^\"]*)\""))
    EXPECT_TRUE(fs::is_directory(sample / path[1])) << path[1];
  const auto headers = matches(
      manifest, "path: \"([^\"]*)\"[^)]*publicHeadersPath: \"([^\"]*)\"");
  ASSERT_EQ(headers.size(), 1u);
  const fs::path folder = headers[0][1] + "/" + headers[0][2];
  std::ofstream(sample / "clfm.modulemap")
      << "module CLfm { umbrella " << sample / folder << " export * }\n";
  std::string flags = " -I" + folder.string();
  for (const auto &flag : matches(manifest, "\"-Xcc\", \"([^\"]*)\""))
    flags += " " + flag[1];

  const std::string swift = readFile(sample / "Sources/Sample/main.swift");
  std::set<std::string> functions, constants;
  for (const auto &name : matches(swift, R"(\b((?:lfm|model)_\w+)\()"))
    functions.insert(name[1]);
  for (const auto &name : matches(swift, R"(\bLFM_\w+)"))
    constants.insert(name[0]);
  EXPECT_GE(functions.size(), 8u);
  EXPECT_GE(constants.size(), 2u);
  std::ofstream uses(sample / "uses.m");
  uses << "@import CModel;\nvoid *used[] = {\n";
  for (const std::string &name : functions)
    if (name != "lfm_chat_message" && name != "lfm_chat_options")
      uses << "  (void *)" << name << ",\n";
  uses << "};\nlfm_chat_message turn;\nlfm_chat_options options;\n"
          "lfm_status status;\nint values[] = {";
  for (const std::string &name : constants)
    uses << name << ", ";
  uses << "};\n";
  uses.close();
  Outcome compiled = shell(
      "cd " + sample.string() +
      " && " LFMC_LLVM_BIN
      "/clang --target=arm64-apple-macos12 -ffreestanding -fmodules "
      "-fmodules-cache-path=modules -fmodule-map-file=clfm.modulemap "
      "-fmodule-map-file=Sources/CModel/module.modulemap -Werror -c uses.m -o "
      "uses.o" +
      flags + " && " LFMC_LLVM_BIN "/llvm-nm -u --format=just-symbols uses.o");
  ASSERT_EQ(compiled.code, 0) << compiled.err;
  // Of the runtime, whose sources are the same here, or of the library.
  const std::string defined =
      shell(LFMC_LLVM_BIN "/llvm-nm -g --defined-only --format=just-symbols " +
            (sample / "model/libmodel.a").string())
          .out +
      shell(LFMC_LLVM_BIN
            "/llvm-nm -g --defined-only --format=just-symbols " LFMC_BINARY_DIR
            "/../lib/liblfm_runtime.a | sed 's/^/_/'")
          .out;
  const auto wanted = matches(compiled.out, "_\\w+");
  EXPECT_GE(wanted.size(), 8u);
  for (const auto &name : wanted)
    EXPECT_NE(defined.find("\n" + name[0] + "\n"), std::string::npos)
        << name[0];
  EXPECT_EQ(matches(readFile(sample / "Sources/CModel/module.modulemap"),
                    "link \"(\\w+)\"")
                .at(0)[1],
            "model");
}

} // namespace
