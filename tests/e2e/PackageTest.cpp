// SPDX-License-Identifier: Apache-2.0
//
// What is in a package, and that a user's build systems can use it.
#include "Shell.h"

#include "runtime/include/lfm/program.h"

#include "llvm/ADT/StringSet.h"
#include "llvm/Object/Archive.h"
#include "llvm/Object/ELFObjectFile.h"

#include <nlohmann/json.hpp>

using nlohmann::json;

namespace {

// Sanitizers must be linked into what uses a runtime that was built with them.
#if LFMC_SANITIZED
const std::string compilerFlags = " -fsanitize=address,undefined ";
const std::string compiler = LFMC_CXX_COMPILER;
#else
const std::string compilerFlags = " ";
const std::string compiler = "c++";
#endif

class Package : public testing::Test {
protected:
  static void SetUpTestSuite() {
    directory = (Sandbox::get().root / "pkg").string();
    outcome = runLfmc("compile " + checkpoint("dense-b-bf16") + " -o " +
                      directory + " --name tiny --max-context 256");
  }
  void SetUp() override { ASSERT_EQ(outcome.code, 0) << outcome.err; }

  static std::string directory;
  static Outcome outcome;
};
std::string Package::directory;
Outcome Package::outcome;

TEST_F(Package, HasAllFiles) {
  std::set<std::string> found;
  for (const auto &entry :
       std::filesystem::recursive_directory_iterator(directory))
    if (entry.is_regular_file())
      found.insert(std::filesystem::relative(entry.path(), directory).string());
  json manifest = json::parse(readFile(directory + "/tiny.json"));
  EXPECT_EQ(found, manifest["files"].get<std::set<std::string>>());
  for (const char *name :
       {"libtiny.a", "tiny.h", "tiny.weights", "tiny.json", "main.cpp",
        "lfm/lfm.h", "lfm/status.h", "lfm/text.h", "lib/pkgconfig/tiny.pc",
        "lib/cmake/tiny/tinyConfig.cmake",
        "lib/cmake/tiny/tinyConfigVersion.cmake"})
    EXPECT_TRUE(found.count(name)) << name;
  EXPECT_FALSE(found.count("lfm/program.h"));
  lfm_weights_header header;
  std::string weights = readFile(directory + "/tiny.weights");
  ASSERT_GE(weights.size(), sizeof header);
  std::memcpy(&header, weights.data(), sizeof header);
  EXPECT_EQ(header.file_bytes, weights.size());
  std::string id;
  for (uint8_t byte : header.id) {
    char text[3];
    std::snprintf(text, sizeof text, "%02x", byte);
    id += text;
  }
  EXPECT_EQ(manifest["weights_id"], id);
  EXPECT_EQ(manifest["sizes"]["weights_bytes"], weights.size());
  for (const json &weight : manifest["weights"]) {
    EXPECT_EQ(weight["offset"].get<uint64_t>() % 64, 0u);
    EXPECT_LE(weight["offset"].get<uint64_t>() +
                  weight["bytes"].get<uint64_t>(),
              weights.size());
  }
}

// Symbols of the library by what they are.
struct Symbols {
  llvm::StringSet<> visible, defined, programNeeds, runtimeNeeds;
};

Symbols symbolsOf(const std::string &library) {
  Symbols result;
  auto buffer = llvm::cantFail(
      llvm::errorOrToExpected(llvm::MemoryBuffer::getFile(library)));
  auto archive =
      llvm::cantFail(llvm::object::Archive::create(buffer->getMemBufferRef()));
  llvm::Error error = llvm::Error::success();
  for (const auto &child : archive->children(error)) {
    auto binary = llvm::cantFail(child.getAsBinary());
    auto *object = llvm::cast<llvm::object::ELF64LEObjectFile>(binary.get());
    bool runtime =
        llvm::cantFail(child.getName()).contains(".cpp"); // CMake's names
    for (const llvm::object::ELFSymbolRef &symbol : object->symbols()) {
      uint32_t flags = llvm::cantFail(symbol.getFlags());
      std::string name = llvm::cantFail(symbol.getName()).str();
      if (name.empty() || !(flags & llvm::object::SymbolRef::SF_Global))
        continue;
      if (flags & llvm::object::SymbolRef::SF_Undefined) {
        (runtime ? result.runtimeNeeds : result.programNeeds).insert(name);
        continue;
      }
      result.defined.insert(name);
      if (symbol.getOther() != llvm::ELF::STV_HIDDEN)
        result.visible.insert(name);
    }
  }
  llvm::cantFail(std::move(error));
  return result;
}

TEST_F(Package, ShowsOnlyTheProgramAndThePublicInterface) {
  Symbols symbols = symbolsOf(directory + "/libtiny.a");
  EXPECT_TRUE(symbols.visible.count("tiny_program"));
  for (const auto &entry : symbols.visible) {
    llvm::StringRef name = entry.getKey();
    EXPECT_TRUE(name == "tiny_program" || name.starts_with("lfm_"))
        << name.str();
    // Kernels are named by content and must not look like the interface.
    EXPECT_EQ(name.find_if([](char c) { return c >= '0' && c <= '9'; }),
              llvm::StringRef::npos)
        << name.str();
  }
}

#if !LFMC_SANITIZED
TEST_F(Package, NeedsOnlyTheCLibraryAndThreads) {
  Symbols symbols = symbolsOf(directory + "/libtiny.a");
  // Program and kernels call nothing at all, but what they define themselves.
  for (const auto &entry : symbols.programNeeds)
    EXPECT_TRUE(symbols.defined.count(entry.getKey()) ||
                entry.getKey() == "_GLOBAL_OFFSET_TABLE_" ||
                entry.getKey() == "memcpy" || entry.getKey() == "memset")
        << entry.getKey().str();
  Outcome provided =
      shell("for l in c m pthread; do "
            "nm -D --defined-only $(cc -print-file-name=lib$l.so.6) "
            "$(cc -print-file-name=lib$l.so.0) 2>/dev/null; done "
            "| awk '{ sub(/@.*/, \"\", $3); print $3 }'");
  llvm::StringSet<> libc;
  llvm::SmallVector<llvm::StringRef> lines;
  llvm::StringRef(provided.out).split(lines, '\n', -1, false);
  for (llvm::StringRef line : lines)
    libc.insert(line);
  ASSERT_TRUE(libc.count("pthread_create"));
  for (const auto &entry : symbols.runtimeNeeds) {
    llvm::StringRef name = entry.getKey();
    EXPECT_TRUE(symbols.defined.count(name) || libc.count(name) ||
                name == "_GLOBAL_OFFSET_TABLE_")
        << name.str();
  }
}

// A C program, linked without any C++ library.
TEST_F(Package, LinksIntoC) {
  std::ofstream(directory + "/../use.c") << R"(
#include "tiny.h"
int main(void) {
  char message[256];
  lfm_model *model;
  if (tiny_open("tiny.weights", &model, message, sizeof message) != LFM_OK)
    return 1;
  lfm_model_close(model);
  return 0;
}
)";
  Outcome c = shell("cd " + directory +
                    " && cc -std=c11 -Wall -Wextra -Werror ../use.c -I. -L. "
                    "-ltiny -lpthread -lm -o ../use-c && ../use-c");
  EXPECT_EQ(c.code, 0) << c.err;
}
#endif

TEST_F(Package, ExampleCompilesAsItStands) {
  Outcome built = shell("cd " + directory +
                        " && " + compiler + " main.cpp -I. -L. -ltiny "
                        "-lpthread -o ../example -Wall -Wextra -Werror" +
                        compilerFlags);
  ASSERT_EQ(built.code, 0) << built.err;
  Outcome run = shell("cd " + directory + " && ../example 'One two'");
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_GT(run.out.size(), 1u);
  // In another folder there are no weights: an error, no crash.
  Outcome lost = shell("cd / && " + directory + "/../example");
  EXPECT_EQ(lost.code, 1);
  EXPECT_NE(lost.err.find("tiny.weights"), std::string::npos) << lost.err;
}

TEST_F(Package, CMakeFindsIt) {
  std::string source = (Sandbox::get().root / "consumer").string();
  std::filesystem::create_directories(source);
  std::filesystem::copy_file(directory + "/main.cpp", source + "/main.cpp");
  std::ofstream(source + "/CMakeLists.txt") << R"(
cmake_minimum_required(VERSION 3.20)
project(consumer CXX)
find_package(tiny 0.1 REQUIRED)
add_executable(consumer main.cpp)
target_link_libraries(consumer PRIVATE tiny::tiny)
file(WRITE ${CMAKE_BINARY_DIR}/weights "${tiny_WEIGHTS}")
)";
  Outcome built = shell(LFMC_CMAKE " -S " + source + " -B " + source +
                        "/build -DCMAKE_PREFIX_PATH=" + directory +
                        " -DCMAKE_CXX_COMPILER=" + compiler +
                        " -DCMAKE_CXX_FLAGS='" + compilerFlags + "' && " +
                        LFMC_CMAKE " --build " + source + "/build");
  ASSERT_EQ(built.code, 0) << built.out << built.err;
  EXPECT_TRUE(std::filesystem::equivalent(readFile(source + "/build/weights"),
                                          directory + "/tiny.weights"));
  Outcome run = shell("cd " + directory + " && " + source + "/build/consumer");
  EXPECT_EQ(run.code, 0) << run.err;
}

TEST_F(Package, PkgConfigFindsIt) {
  if (shell("pkg-config --version").code)
    GTEST_SKIP() << "no pkg-config";
  Outcome built =
      shell("export PKG_CONFIG_PATH=" + directory + "/lib/pkgconfig && " + compiler + " " +
            directory + "/main.cpp $(pkg-config --cflags --libs tiny) -o " +
            directory + "/../by-pkg-config" + compilerFlags);
  ASSERT_EQ(built.code, 0) << built.err;
  Outcome run = shell("cd " + directory + " && ../by-pkg-config");
  EXPECT_EQ(run.code, 0) << run.err;
}

// Two models in one program: neither takes the other's kernels.
TEST_F(Package, TwoPackagesInOneProgram) {
  std::string other = (Sandbox::get().root / "other").string();
  Outcome compiled =
      runLfmc("compile " + checkpoint("dense-b-f32") + " -o " + other +
              " --name other --max-context 256 "
              "--target x86-64-v2");
  ASSERT_EQ(compiled.code, 0) << compiled.err;
  std::ofstream(directory + "/../two.cpp") << R"(
#include "tiny.h"
#include "other.h"
#include <stdio.h>
#include <string.h>
static int logits(const lfm_program *program, const char *weights, float *out) {
  char message[256];
  lfm_model *model;
  lfm_session *session;
  if (lfm_model_open(program, weights, NULL, &model, message, sizeof message) ||
      lfm_session_create(model, NULL, &session, message, sizeof message))
    return puts(message), 1;
  int32_t tokens[] = {1, 42, 7, 99};
  int status = lfm_session_prefill(session, tokens, 4, out);
  lfm_session_destroy(session);
  lfm_model_close(model);
  return status;
}
int main(int argc, char **argv) {
  static float a[65536], b[65536];
  if (logits(&tiny_program, argv[1], a) || logits(&other_program, argv[2], b))
    return 1;
  printf("%.4f %.4f\n", a[5], b[5]);
  // The f32 checkpoint and its bf16 version differ, but not by much.
  float d = a[5] - b[5];
  return memcmp(a, b, sizeof a) == 0 || d > 0.5f || d < -0.5f;
}
)";
  for (const std::string &order :
       {std::string("-ltiny -lother"), std::string("-lother -ltiny")}) {
    Outcome two = shell("cd " + directory +
                        "/.. && " + compiler + " two.cpp -Ipkg -Iother "
                        "-Lpkg -Lother " +
                        order + " -lpthread -o two" + compilerFlags +
                        "&& ./two pkg/tiny.weights "
                        "other/other.weights");
    EXPECT_EQ(two.code, 0) << order << ": " << two.out << two.err;
  }
}

TEST_F(Package, IsTheSameEveryTime) {
  std::string again = (Sandbox::get().root / "again").string();
  Outcome compiled = runLfmc("compile " + checkpoint("dense-b-bf16") + " -o " +
                             again + " --name tiny --max-context 256 --jobs 1");
  ASSERT_EQ(compiled.code, 0) << compiled.err;
  Outcome same = shell("diff -r " + directory + " " + again);
  EXPECT_EQ(same.code, 0) << same.out;
}

} // namespace
