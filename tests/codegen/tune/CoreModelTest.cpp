// SPDX-License-Identifier: Apache-2.0
//
// The stand-in for a device: LLVM's models of cores, and scores under qemu.
#include "codegen/tune/CoreModel.h"
#include "codegen/tune/Measurer.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace lfmc::tune {
namespace {

namespace fs = std::filesystem;

const Target &armTarget() { return **findTarget("aarch64-linux+dotprod"); }

double cyclesOf(const char *core, std::vector<uint32_t> code) {
  auto model = CoreModel::create(armTarget(), core);
  if (!model) {
    ADD_FAILURE() << llvm::toString(model.takeError());
    return 0;
  }
  llvm::ArrayRef bytes(reinterpret_cast<const uint8_t *>(code.data()),
                       4 * code.size());
  return (*model)->cycles(bytes, 0x1000, unsigned(code.size())).value_or(-1);
}

// fadd vD.4s, vD.4s, v31.4s
uint32_t addTo(uint32_t d) { return 0x4e3fd400 | d << 5 | d; }

TEST(CoreModel, TellsChainsFromIndependentWork) {
  const double chain = cyclesOf("neoverse-n1", std::vector(4, addTo(0)));
  const double apart =
      cyclesOf("neoverse-n1", {addTo(0), addTo(1), addTo(2), addTo(3)});
  // Four additions one after the other; as many in two pipes, each its own
  // chain over the iterations.
  EXPECT_GE(chain, 8);
  EXPECT_LT(apart, 0.6 * chain);
  // A core that issues in order is no faster.
  EXPECT_GE(cyclesOf("cortex-a55", std::vector(4, addTo(0))), chain);
}

TEST(CoreModel, CountsWhatAModelLacks) {
  // sdot v0.4s, v1.16b, v2.4b[0]: Oryon's model has it without the lane only.
  const double one = cyclesOf("oryon-1", {0x4f82e020});
  EXPECT_GT(one, 0.2);
  EXPECT_NEAR(one, cyclesOf("oryon-1", {0x4e829420}), 0.2);
  // A return: no pipe, a place in the front.
  const double back = cyclesOf("neoverse-n1", {0xd65f03c0});
  EXPECT_GT(back, 0);
  EXPECT_LE(back, 1);
}

TEST(CoreModel, RefusesWhatItCannotRead) {
  EXPECT_EQ(cyclesOf("neoverse-n1", {0xffffffff}), -1);
  auto model = llvm::cantFail(CoreModel::create(armTarget(), "neoverse-n1"));
  EXPECT_FALSE(model->cycles({}, 0, 1));
  for (const char *core : {"abacus", ""}) {
    auto unknown = CoreModel::create(armTarget(), core);
    ASSERT_FALSE(bool(unknown)) << core;
    EXPECT_NE(llvm::toString(unknown.takeError()).find("model"),
              std::string::npos);
  }
}

TEST(Blocks, AreJoinedWhereTheyAreOneLoop) {
  // A loop that the emulator cut; the first iteration began elsewhere.
  auto joined = joinBlocks(
      {{0x2000, 5, 10}, {0x1080, 4, 100}, {0x1000, 32, 99}, {0x1090, 7, 20}});
  ASSERT_EQ(joined.size(), 3u);
  EXPECT_EQ(joined[0].address, 0x1000u);
  EXPECT_EQ(joined[0].instructions, 36u);
  EXPECT_EQ(joined[0].executions, 100u);
  EXPECT_EQ(joined[1].address, 0x1090u);
  EXPECT_EQ(joined[2].address, 0x2000u);
}

TEST(Blocks, AreReadFromTheCounter) {
  auto counts = Counts::parse("1234 @4005a0+12=100 @400000+3=1");
  ASSERT_TRUE(counts);
  EXPECT_EQ(counts->instructions, 1234u);
  ASSERT_EQ(counts->blocks.size(), 2u);
  EXPECT_EQ(counts->blocks[0].address, 0x4005a0u);
  EXPECT_EQ(counts->blocks[0].instructions, 12u);
  EXPECT_EQ(counts->blocks[0].executions, 100u);
  for (const char *line :
       {"", "x", "1 @40", "1 @40+0=1", "1 40+1=1", "1 @40+1"})
    EXPECT_FALSE(Counts::parse(line)) << line;
}

// Under the emulator: the preset's kernel of a linear, with work added to the
// candidate that changes no numbers.
class QemuScore : public testing::Test {
protected:
  void SetUp() override {
    if (!fs::exists(LFMC_MEASURE "/measure-aarch64.o") ||
        std::system("command -v qemu-aarch64 > /dev/null 2>&1"))
      GTEST_SKIP() << "NOT TESTED: no qemu-aarch64 or no compiler for it";
    std::string pattern = fs::temp_directory_path() / "lfmc-qemu-XXXXXX";
    folder = mkdtemp(pattern.data());
    problem =
        llvm::cantFail(Problem::create("linear n=256 k=64 f32", armTarget()));
    job = folder / "job";
    auto bytes = problem->job(Phase::One, problem->space().preset(), options);
    std::ofstream(job).write(reinterpret_cast<char *>(bytes.data()),
                             std::streamsize(bytes.size()));
  }
  void TearDown() override {
    if (!folder.empty())
      fs::remove_all(folder);
  }

  /// 2000 rounds of four additions to these registers before the kernel.
  Outcome score(const char *device, const std::string &added) {
    std::string files = LFMC_MEASURE "/measure-aarch64.o";
    for (const char *symbol : {"lfm_kernel_0", "lfm_kernel_1"}) {
      auto objects = llvm::cantFail(
          problem->compile(Phase::One, problem->space().preset(),
                           symbol[11] == '0' ? symbol : "preset", "", 1));
      for (const ObjectFile &object : objects) {
        fs::path path = folder / (symbol + object.name);
        std::ofstream(path).write(object.bytes.data(),
                                  std::streamsize(object.bytes.size()));
        if (symbol[11] == '0' || object.name.find("preset") == 0)
          files += " " + path.string();
      }
    }
    std::ofstream(folder / "k.s")
        << ".globl lfm_kernel_1\nlfm_kernel_1:\n mov w9, #2000\n1:\n"
        << added << " subs w9, w9, #1\n b.ne 1b\n b preset\n";
    const std::string output = folder / "program";
    EXPECT_EQ(
        std::system((LFMC_CC " --target=aarch64-linux-gnu -c " +
                     (folder / "k.s").string() + " -o " +
                     (folder / "k.o").string() +
                     " && ld.lld-22 -static -m aarch64linux "
                     "--gc-sections -o " +
                     output + " " + files + " " + (folder / "k.o").string())
                        .c_str()),
        0);
    auto opened = openDevice(device, &armTarget(), LFMC_MEASURE);
    if (!opened) {
      ADD_FAILURE() << llvm::toString(opened.takeError());
      return {};
    }
    return (*opened)->run(output, job, 10);
  }

  MeasureOptions options;
  std::unique_ptr<Problem> problem;
  fs::path folder, job;
};

std::string additions(const std::vector<int> &registers) {
  std::string text;
  for (int r : registers)
    text += " fadd v" + std::to_string(r) + ".4s, v" + std::to_string(r) +
            ".4s, v31.4s\n";
  return text;
}

TEST_F(QemuScore, IsOfCyclesNotInstructions) {
  const std::string chain = additions({16, 16, 16, 16}),
                    apart = additions({16, 17, 18, 19});
  Outcome counted[] = {score("qemu", chain), score("qemu", apart)};
  Outcome modelled[] = {score("qemu:neoverse-n1", chain),
                        score("qemu:neoverse-n1", apart)};
  for (const Outcome &o : {counted[0], counted[1], modelled[0], modelled[1]})
    ASSERT_EQ(o.status, Status::Measured) << o.message;
  EXPECT_NEAR(counted[0].candidateNs, counted[1].candidateNs, 200);
  // Eight cycles a round against two or three.
  const double difference = modelled[0].candidateNs - modelled[1].candidateNs;
  EXPECT_GT(difference, 2000 * 4);
  EXPECT_LT(difference, 2000 * 8);
  EXPECT_GT(modelled[0].candidateNs - modelled[0].presetNs, 2000 * 7.5);
  EXPECT_LT(modelled[0].candidateNs - modelled[0].presetNs, 2000 * 9);
  EXPECT_NEAR(modelled[0].presetNs, modelled[1].presetNs,
              0.02 * modelled[0].presetNs);
}

TEST_F(QemuScore, SaysWhatItIs) {
  auto named = [](const char *device, const Target &target) {
    auto opened = llvm::cantFail(openDevice(device, &target, LFMC_MEASURE));
    return opened->name() + ", " + cpuModelOf(cantFail(opened->cpuinfo()));
  };
  EXPECT_EQ(named("qemu", armTarget()),
            "qemu, qemu aarch64/0 instruction counts");
  EXPECT_EQ(named("qemu", **findTarget("raspberry-pi-5")),
            "qemu:neoverse-n1, qemu aarch64/0 cycles modelled for neoverse-n1");
  EXPECT_EQ(named("qemu:cortex-a55", **findTarget("raspberry-pi-5")),
            "qemu:cortex-a55, qemu aarch64/0 cycles modelled for cortex-a55");
  auto unknown = openDevice("qemu:abacus", &armTarget(), LFMC_MEASURE);
  ASSERT_FALSE(bool(unknown));
  EXPECT_NE(llvm::toString(unknown.takeError()).find("abacus"),
            std::string::npos);
}

} // namespace
} // namespace lfmc::tune
