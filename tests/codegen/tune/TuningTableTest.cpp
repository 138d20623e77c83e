// SPDX-License-Identifier: Apache-2.0
#include "codegen/Codegen.h"
#include "targets/Tuning.h"

#include "llvm/ADT/STLExtras.h"

#include <gtest/gtest.h>

namespace lfmc {
namespace {

Space exampleSpace() {
  Space space;
  space.kernel = "linear n=1 k=1 f32";
  space.add("rows", {16, 32}, 32, 3);
  space.add("one.far", {0, 64}, 0, uint8_t(Phase::One));
  space.add("many.tokens", {4, 6, 8}, 6, uint8_t(Phase::Many));
  space.allowed = [](const Choice &c) {
    return c.at("rows") * c.at("many.tokens") <= 192;
  };
  return space;
}

TEST(Space, ListsWhatAPhaseUsesAndAllows) {
  Space space = exampleSpace();
  std::vector<Choice> one = space.choices(Phase::One);
  std::vector<Choice> many = space.choices(Phase::Many);
  EXPECT_EQ(one.front(), space.preset());
  EXPECT_EQ(one.size(), 4u);
  EXPECT_EQ(many.size(), 5u); // 32 rows of 8 tokens are too many
  for (const Choice &choice : many) {
    EXPECT_TRUE(space.contains(choice));
    EXPECT_EQ(choice.at("one.far"), 0);
  }
  Choice other = space.preset();
  other["rows"] = 24;
  EXPECT_FALSE(space.contains(other));
  other.erase("rows");
  EXPECT_FALSE(space.contains(other));
}

class Table : public testing::Test {
protected:
  const Target &target = **findTarget("x86-64-v3");
  TuningRecord record(const char *cpu, int64_t rows, double gain) {
    TuningRecord r;
    r.kernel = exampleSpace().kernel;
    r.target = target.name.str();
    r.features = tuningFeatures(target);
    r.cpu = cpu;
    r.family = cpuFamily(cpu);
    r.version = 4;
    r.choice = {{"rows", rows}, {"one.far", 64}, {"many.tokens", 4}};
    r.gain = gain;
    r.source = "local";
    return r;
  }
  int64_t rows(const std::vector<TuningRecord> &records, const char *cpu) {
    return TuningTable(records, target, cpu, 4)
        .choose(exampleSpace())
        .at("rows");
  }
};

TEST_F(Table, PrefersTheDeviceThenItsFamilyThenThePreset) {
  auto family = record("Maker 1/3 X", 16, 2),
       device = record("Maker 1/2 Y", 16, 1.1);
  device.choice["many.tokens"] = 8;
  Choice chosen = TuningTable({family, device}, target, "Maker 1/2 Y", 4)
                      .choose(exampleSpace());
  EXPECT_EQ(chosen.at("many.tokens"), 8);
  TuningTable table({family}, target, "Maker 1/2 Y", 4);
  EXPECT_EQ(table.choose(exampleSpace()).at("rows"), 16);
  EXPECT_EQ(table.origins().begin()->second, TuningTable::Origin::Family);
  EXPECT_EQ(rows({family, device}, "Maker 2/2 Y"), 32);
  EXPECT_EQ(rows({record("unknown", 16, 2)}, "other"), 32);
}

TEST_F(Table, IgnoresWhatDoesNotFit) {
  const char *cpu = "Maker 1/2 Y";
  EXPECT_EQ(rows({record(cpu, 16, 1.5)}, cpu), 16);
  auto old = record(cpu, 16, 1.5);
  old.version = 3;
  auto elsewhere = record(cpu, 16, 1.5);
  elsewhere.target = "x86-64-v4";
  auto features = record(cpu, 16, 1.5);
  features.features += "x";
  auto slower = record(cpu, 16, 0.9);
  auto counted = record(cpu, 16, 1.5);
  counted.source = "qemu";
  auto modelled = record(cpu, 16, 1.5);
  modelled.source = "qemu:neoverse-n1";
  auto impossible = record(cpu, 24, 1.5);
  for (auto &r :
       {old, elsewhere, features, slower, counted, modelled, impossible})
    EXPECT_EQ(rows({r}, cpu), 32) << recordLine(r);
}

TEST_F(Table, ReadsWhatItWrites) {
  auto before = record("Maker 1/2 \"Y\"", 16, 1.25);
  auto read = parseRecords(recordLine(before) + "\n\n", "here");
  ASSERT_TRUE(bool(read)) << llvm::toString(read.takeError());
  ASSERT_EQ(read->size(), 1u);
  EXPECT_EQ(recordLine(read->front()), recordLine(before));
  auto broken = parseRecords("{\"kernel\": 3}\n", "here");
  ASSERT_FALSE(bool(broken));
  EXPECT_NE(llvm::toString(broken.takeError()).find("here:1"),
            std::string::npos);
}

TEST(ShippedRecords, ArePlausible) {
  auto records = parseRecords(shippedRecords(), "shipped records");
  ASSERT_TRUE(bool(records)) << llvm::toString(records.takeError());
  for (const TuningRecord &record : *records) {
    auto target = findTarget(record.target);
    ASSERT_TRUE(bool(target)) << llvm::toString(target.takeError());
    EXPECT_EQ(record.family, cpuFamily(record.cpu));
    EXPECT_GT(record.gain, 1);
    EXPECT_EQ(record.version, kernelVersion()) << "to be measured again";
  }
}

TEST(CpuModel, NamesProcessors) {
  EXPECT_EQ(cpuModelOf("vendor_id\t: A\ncpu family\t: 26\nmodel\t\t: 2\nmodel "
                       "name\t: A E\n"),
            "A 26/2 A E");
  EXPECT_EQ(cpuFamily("A 26/2 A E"), "A 26");
  EXPECT_EQ(cpuModelOf("CPU implementer\t: 0x41\nCPU variant\t: 0x1\nCPU "
                       "part\t: 0xd0b\n"),
            "0x41/0xd0b variant 0x1");
  EXPECT_EQ(cpuModelOf(""), "unknown");
}

} // namespace
} // namespace lfmc
