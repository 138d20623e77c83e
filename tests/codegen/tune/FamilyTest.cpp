// SPDX-License-Identifier: Apache-2.0
//
// The families that are no plain matrix and no attention: their presets and
// candidates compute what is expected, and what computes something else is
// found. Wrong candidates are C functions around the preset's kernel.
#include "codegen/tune/Measurer.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>

namespace lfmc::tune {
namespace {

namespace fs = std::filesystem;

class FamilyTest : public testing::Test {
protected:
  void SetUp() override {
    if (!fs::exists(LFMC_MEASURE "/measure-x86_64.o"))
      GTEST_SKIP() << "no measuring program for this machine";
    std::string pattern = fs::temp_directory_path() / "lfmc-family-XXXXXX";
    folder = mkdtemp(pattern.data());
    options.seconds = 0.01;
    options.threads = 1;
    options.tokens = 37; // no whole chunks and tiles
    options.coldBytes = 1 << 16;
    options.limitSeconds = 20;
  }
  void TearDown() override {
    if (!folder.empty())
      fs::remove_all(folder);
  }

  /// Measures some choices of both phases, or all that there are.
  void check(const char *name, const char *targetName) {
    SCOPED_TRACE(std::string(name) + " for " + targetName);
    const Target &target = **findTarget(targetName);
    if (!runsOnHost(target))
      return;
    auto problem = Problem::create(name, target);
    ASSERT_TRUE(bool(problem)) << llvm::toString(problem.takeError());
    auto device = llvm::cantFail(openDevice("local"));
    auto measurer =
        llvm::cantFail(Measurer::create(*device, target, LFMC_MEASURE, folder));
    for (Phase phase : phases) {
      const std::vector<Choice> all = (*problem)->space().choices(phase);
      for (size_t i : std::set<size_t>{0, all.size() / 3, all.size() / 2,
                                       all.size() - 1}) {
        Outcome outcome = measurer->run(
            measurer->prepare(**problem, phase, all[i], options, 1), options);
        EXPECT_EQ(outcome.status, Status::Measured)
            << phaseName(phase).str() << " choice " << i << " of " << all.size()
            << ": " << outcome.message;
      }
    }
  }

  /// What becomes of `body` as candidate; `call(...)` in it is the preset's
  /// kernel, p[] are the operands.
  Outcome run(const char *name, const std::string &body,
              Phase phase = Phase::Many) {
    const Target &target = **findTarget("x86-64-v2");
    auto problem = llvm::cantFail(Problem::create(name, target));
    const unsigned count = llvm::cantFail(subjectOf(name))->pointers();
    auto job = problem->job(phase, problem->space().preset(), options);
    const fs::path file = folder / "job";
    std::ofstream(file).write(reinterpret_cast<char *>(job.data()),
                              std::streamsize(job.size()));
    std::string files = LFMC_MEASURE "/measure-x86_64.o";
    for (const ObjectFile &object : llvm::cantFail(problem->compile(
             phase, problem->space().preset(), "lfm_kernel_0", folder, 1))) {
      const fs::path path = folder / object.name;
      std::ofstream(path).write(object.bytes.data(),
                                std::streamsize(object.bytes.size()));
      files += " " + path.string();
    }
    std::string types, names, values, list;
    for (unsigned i = 0; i < count; ++i) {
      const std::string number = std::to_string(i);
      types += "char *, ", names += "char *p" + number + ", ";
      values += "p[" + number + "], ", list += "p" + number + ", ";
    }
    std::ofstream(folder / "k.c")
        << "#include <string.h>\ntypedef long N;\nvoid lfm_kernel_0(" << types
        << "N, N, N);\nvoid lfm_kernel_1(" << names
        << "N n, N at, N c) {\nchar *p[] = {" << list
        << "};\n#define call() lfm_kernel_0(" << values << "n, at, c)\n"
        << body << "\n}\n";
    const std::string program = folder / "program";
    EXPECT_EQ(
        std::system((std::string(LFMC_CC) + " -O1 -fno-stack-protector -w -c " +
                     (folder / "k.c").string() + " -o " +
                     (folder / "k.o").string() +
                     " && ld.lld-22 -static --gc-sections -o " + program + " " +
                     files + " " + (folder / "k.o").string())
                        .c_str()),
        0);
    return llvm::cantFail(openDevice("local"))
        ->run(program, file, options.limitSeconds);
  }

  MeasureOptions options;
  fs::path folder;
};

TEST_F(FamilyTest, RowsAreChecked) {
  for (const char *target : {"x86-64-v3", "x86-64-v4-vnni"})
    for (const char *name :
         {"quantize width=256", "quantize width=96 norm",
          "rms_norm width=64 heads=3", "rms_norm width=1024 heads=1",
          "embed width=128 q4/32", "embed width=96 q6/32",
          "embed width=128 q4m/64", "embed width=96 q8/32",
          "embed width=90 bf16", "embed width=96 f32"})
      check(name, target);
  check("quantize width=512 norm group=256", "x86-64-v4-vnni");
  check("quantize width=384 group=128", "x86-64-v4-vnni");
}

TEST_F(FamilyTest, StateIsChecked) {
  for (const char *target : {"x86-64-v3", "x86-64-v4-vnni"})
    for (const char *name : {"rope_cache heads=4 kv=2 dim=32 rot=32 f16",
                             "rope_cache heads=3 kv=1 dim=64 rot=16 f32",
                             "rope_cache heads=4 kv=4 dim=32 rot=32 q8",
                             "short_conv channels=512 taps=3",
                             "short_conv channels=96 taps=4 bias"})
      check(name, target);
}

TEST_F(FamilyTest, ExpertsAreChecked) {
  for (const char *target : {"x86-64-v3", "x86-64-v4-vnni"})
    for (const char *name : {"experts of=8 top=2 n=256 k=64 q4/32 swiglu",
                             "experts of=6 top=3 n=128 k=96 q8/32",
                             "experts of=5 top=2 n=64 k=64 q6/64",
                             "experts of=4 top=2 n=128 k=64 f32 swiglu",
                             "experts of=4 top=4 n=64 k=32 bf16"})
      check(name, target);
}

TEST_F(FamilyTest, WrongNumbersAreFound) {
  struct {
    const char *name;
    std::vector<const char *> wrong;
  } families[] = {
      // A code, a scale, a sum; of a token, not all.
      {"quantize width=256 norm",
       {"if (c == 2) p[2][9 * 320 + 255] += 1;",
        "if (c == 2) ((float *)(p[2] + 9 * 320 + 256))[7] *= 1.001f;",
        "if (c == 2) ((int *)(p[2] + 9 * 320 + 288))[7] += 1;"}},
      {"rms_norm width=64 heads=3",
       {"if (c == 4) ((float *)p[2])[36 * 192 + 191] *= 1.0001f;"}},
      {"embed width=128 q4/32",
       {"if (c == 9) ((float *)p[2])[36 * 128 + 127] += 1e-4f;"}},
      // The queries, a key of any position, a value; a key too far on.
      {"rope_cache heads=4 kv=2 dim=32 rot=32 f16",
       {"if (c == 9) ((float *)p[6])[36 * 128 + 127] += 1e-4f;",
        "if (c == 9) p[7][(2 * 32 + 31) * 32 + 4 * 2] ^= 8;",
        "if (c == 9) p[8][(1024 + 36) * 64 + 62] ^= 8;"}},
      {"rope_cache heads=4 kv=2 dim=32 rot=32 q8",
       {"if (c == 0) p[7][16 * 31 + 3] += 1;",
        "if (c == 0) ((float *)(p[8] + 64 * 32))[3] *= 1.001f;"}},
      {"short_conv channels=256 taps=3",
       {"((float *)p[4])[36 * 256 + 255] += 1e-4f;",
        "((float *)p[5])[511] += 1e-4f;", "((float *)p[5])[0] += 1e-4f;"}},
      {"experts of=8 top=2 n=256 k=64 q4/32 swiglu",
       {"((float *)p[4])[36 * 256 + 255] += 0.01f;"}},
      {"experts of=6 top=3 n=128 k=64 q8/32",
       {"((float *)p[3])[36 * 128 + 127] += 0.01f;"}},
  };
  for (const auto &family : families) {
    SCOPED_TRACE(family.name);
    Outcome right = run(family.name, "call();");
    EXPECT_EQ(right.status, Status::Measured) << right.message;
    for (const char *wrong : family.wrong)
      EXPECT_EQ(run(family.name, std::string("call();") + wrong).status,
                Status::Wrong)
          << wrong;
    // A chunk that nobody computes; nothing at all.
    EXPECT_EQ(run(family.name, "if (c) call();").status, Status::Wrong);
    EXPECT_EQ(run(family.name, "").status, Status::Wrong);
  }
}

TEST_F(FamilyTest, SlipsAreFound) {
  struct {
    const char *name;
    std::vector<const char *> wrong;
  } families[] = {
      // The row or the expert before, one's scales for all, other choices.
      {"experts of=8 top=2 n=256 k=64 q4/32 swiglu",
       {"p[1] += 128 * (2 * 2 + 32); call();", "p[3] += 4; call();",
        "p[2] += 8; call();"}},
      {"embed width=128 q4/32", {"p[0] += 4; n -= 1; call();"}},
      // Keys for values; a position on; the gains of q for those of k.
      {"rope_cache heads=4 kv=2 dim=32 rot=32 f16",
       {"p[1] = p[2]; call();", "at += 1; call();", "p[4] = p[3]; call();"}},
      // Gates in the wrong order; the state is not moved on.
      {"short_conv channels=256 taps=3",
       {"p[2] = p[3]; call();",
        "static char s[2048]; memcpy(s, p[5], 2048); char *own = p[5];"
        "p[5] = s; call();"}},
  };
  for (const auto &family : families)
    for (const char *wrong : family.wrong)
      EXPECT_EQ(run(family.name, wrong).status, Status::Wrong)
          << family.name << ": " << wrong;
  // One token: the state moves on by it.
  EXPECT_EQ(run("short_conv channels=256 taps=3", "call();", Phase::One).status,
            Status::Measured);
  EXPECT_EQ(run("short_conv channels=256 taps=3",
                "static char s[2048]; memcpy(s, p[5], 2048); p[5] = s; call();",
                Phase::One)
                .status,
            Status::Wrong);
}

TEST(FamilyNames, AreRead) {
  for (const char *name :
       {"experts of=4 top=5 n=64 k=32 q4/32", "experts of=4 top=2 n=64 k=32",
        "experts of=4 top=2 n=64 k=32 q4/32 bias", "quantize width=33",
        "quantize width=64 group=128", "quantize width=64 quads norm",
        "rms_norm width=64", "rms_norm width=64 heads=0", "embed width=64 q5",
        "rope_cache heads=4 kv=2 dim=32 rot=33 f16",
        "rope_cache heads=4 kv=2 dim=32 rot=32 q4", "short_conv channels=64",
        "short_conv channels=64 taps=1", "route experts=3"}) {
    auto subject = subjectOf(name);
    ASSERT_FALSE(bool(subject)) << name;
    EXPECT_NE(llvm::toString(subject.takeError()).find(name),
              std::string::npos);
    EXPECT_FALSE(costOf(name, 1)) << name;
  }
  // A kernel that the target does not have, or has under another name.
  for (const char *name :
       {"quantize width=512 quads", "quantize width=512 norm group=256"}) {
    auto problem = Problem::create(name, **findTarget("x86-64-v2"));
    ASSERT_FALSE(bool(problem)) << name;
    EXPECT_NE(llvm::toString(problem.takeError())
                  .find("expected a kernel like "
                        "'quantize width=512"),
              std::string::npos);
  }
}

} // namespace
} // namespace lfmc::tune
