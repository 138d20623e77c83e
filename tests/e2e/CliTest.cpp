// SPDX-License-Identifier: Apache-2.0
//
// How lfmc behaves on the command line: errors, exit codes, what is written and
// what is left alone.
#include "Shell.h"

#include <nlohmann/json.hpp>

using nlohmann::json;
namespace fs = std::filesystem;

namespace {

TEST(Cli, UsageErrorsAreCodeTwo) {
  for (const char *arguments :
       {"", "frobnicate", "compile", "compile X --weights q4",
        "compile X --prefill 0", "run", "verify X", "bench X --repeat 0",
        "eval X", "synth", "compile X --emit nothing"}) {
    Outcome outcome = runLfmc(arguments);
    EXPECT_EQ(outcome.code, 2) << arguments;
    size_t begin = outcome.err.find("lfmc: error: ");
#if LFMC_SANITIZED // the sanitizers may speak before us
    EXPECT_NE(begin, std::string::npos) << outcome.err;
#else
    EXPECT_EQ(begin, 0u) << outcome.err;
#endif
    EXPECT_EQ(outcome.out, "");
  }
  EXPECT_EQ(runLfmc("--help").code, 0);
  EXPECT_EQ(runLfmc("compile --help").code, 0);
  Outcome version = runLfmc("--version");
  EXPECT_EQ(version.code, 0);
  EXPECT_EQ(version.out.rfind("lfmc ", 0), 0u);
}

TEST(Cli, NamesWhatIsWrong) {
  expectError(
      runLfmc("compile /no/such -o " + (Sandbox::get().root / "x").string()),
      "/no/such");
  expectError(runLfmc("compile " + tiny()), "-o");
  expectError(runLfmc("compile " + tiny() + " -o x --target pdp-11"), "pdp-11");
  expectError(runLfmc("compile " + tiny() + " -o x --name 7up"), "7up");
  expectError(runLfmc("compile " + tiny() + " -o x --max-context 999999999999"),
              "999999999999");
  expectError(runLfmc("run /no/such --prompt x"), "/no/such");
  expectError(runLfmc("inspect /"), "no package");
  expectError(runLfmc("synth 7b -o " + (Sandbox::get().root / "s").string()),
              "7b");
  EXPECT_FALSE(fs::exists("x"));
}

TEST(Cli, ReplacesOnlyPackages) {
  fs::path root = Sandbox::get().root, out = root / "out";
  std::string compile = "compile " + tiny() + " --max-context 64 -o ";
  fs::create_directories(out);
  ASSERT_EQ(runLfmc(compile + out.string()).code, 0) << "an empty directory";
  ASSERT_EQ(runLfmc(compile + out.string()).code, 0) << "a package";
  std::ofstream(out / "notes.txt") << "mine";
  expectError(runLfmc(compile + out.string()), "notes.txt");
  EXPECT_EQ(readFile(out / "notes.txt"), "mine");
  EXPECT_EQ(runLfmc(compile + out.string() + " --force").code, 0);
  EXPECT_FALSE(fs::exists(out / "notes.txt"));

  fs::path other = root / "other-things";
  fs::create_directories(other);
  std::ofstream(other / "thesis.tex") << "years of work";
  expectError(runLfmc(compile + other.string()), "no package");
  std::ofstream(root / "file") << "x";
  expectError(runLfmc(compile + (root / "file").string()), "no directory");
  expectError(shell("cd " + other.string() + " && " LFMC_BINARY_DIR "/lfmc " +
                    compile + ". --force"),
              "working directory");
  EXPECT_EQ(readFile(other / "thesis.tex"), "years of work");
}

// Names in a directory that look like lfmc's temporary ones.
int leftovers(const fs::path &directory) {
  int count = 0;
  for (const auto &entry : fs::directory_iterator(directory))
    count += entry.path().string().find(".tmp") != std::string::npos;
  return count;
}

TEST(Cli, FailuresLeaveNothing) {
  fs::path root = Sandbox::get().root, out = root / "limited";
  Outcome limited = shell("ulimit -f 64; " LFMC_BINARY_DIR "/lfmc compile " +
                          tiny() + " --max-context 64 -o " + out.string());
  expectError(limited, "File too large");
  EXPECT_FALSE(fs::exists(out));
  EXPECT_EQ(leftovers(root), 0);

  // NaN in a tensor: every byte of the data 0xff.
  fs::path broken = root / "broken";
  fs::copy(tiny(), broken, fs::copy_options::recursive);
  fs::path tensors = broken / "model.safetensors";
  fs::permissions(tensors, fs::perms::owner_all);
  {
    std::fstream file(tensors, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(-16, std::ios::end);
    file << std::string(16, '\xff');
  }
  expectError(runLfmc("compile " + broken.string() + " -o " + out.string()),
              "expected finite elements, found");
  EXPECT_FALSE(fs::exists(out));
  EXPECT_EQ(leftovers(root), 0);
}

// Also moments at which threads make files; codegen/package's tests try many.
TEST(Cli, InterruptLeavesNothing) {
  fs::path root = Sandbox::get().root, out = root / "interrupted";
  for (const char *delay : {"0", "0.002", "0.02", "0.1", "0.2"}) {
    // Waits for the temporary directory, then interrupts.
    Outcome outcome = shell(
        LFMC_BINARY_DIR "/lfmc compile " LFMC_EXAMPLES "/lfm2-small-dense -o " +
        out.string() + " & pid=$!; for i in $(seq 2000); do ls -d " +
        out.string() + ".*.tmp > /dev/null 2>&1 && break; sleep 0.01; done; " +
        "sleep " + delay + "; kill -INT $pid; wait $pid");
    EXPECT_EQ(outcome.code, 130) << delay;
    EXPECT_EQ(outcome.err.find("error"), std::string::npos) << outcome.err;
    EXPECT_FALSE(fs::exists(out));
    for (const auto &entry : fs::recursive_directory_iterator(root))
      EXPECT_EQ(entry.path().string().find("interrupted."), std::string::npos)
          << entry.path();
  }
}

TEST(Cli, EmitsEveryStage) {
  auto emit = [](const std::string &stage) {
    Outcome outcome =
        runLfmc("compile " + tiny() + " --max-context 64 --emit " + stage);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return outcome.out;
  };
  EXPECT_NE(emit("lfm2").find("lfm2.rope_cache"), std::string::npos);
  EXPECT_NE(emit("kernel").find("kernel.phase"), std::string::npos);
  EXPECT_NE(emit("llvm").find("@dense_b_bf16_decode("), std::string::npos);
  EXPECT_NE(emit("asm").find("dense_b_bf16_prefill:"), std::string::npos);
  EXPECT_NE(emit("halide-stmt").find("ramp("), std::string::npos);
  fs::path file = Sandbox::get().root / "m.mlir";
  ASSERT_EQ(
      runLfmc("compile " + tiny() + " --emit lfm2 -o " + file.string()).code,
      0);
  EXPECT_EQ(readFile(file).rfind("module", 0), 0u);
  EXPECT_EQ(runLfmc("compile " + tiny() + " --emit lfm2 > /dev/full").code, 1);
}

TEST(Cli, TokenizesBothWays) {
  std::string line = "The quick brown fox, 1234 times!";
  Outcome ids = runLfmc("tokenize --no-bos " + tiny(), line + "\n\nx\n");
  ASSERT_EQ(ids.code, 0) << ids.err;
  json first = json::parse(ids.out.substr(0, ids.out.find('\n')));
  EXPECT_GT(first.size(), 3u);
  Outcome text = runLfmc("tokenize --decode " + tiny(), ids.out);
  EXPECT_EQ(text.out, line + "\n\nx\n") << text.err;
  expectError(runLfmc("tokenize --decode " + tiny(), "[1, \"two\"]\n"),
              "token ids");
  expectError(runLfmc("tokenize --decode " + tiny(), "1 2\n"),
              "standard input");
}

TEST(Cli, InspectsPackagesAndCheckpoints) {
  std::string package = (Sandbox::get().root / "inspected").string();
  ASSERT_EQ(runLfmc("compile " + tiny() + " -o " + package).code, 0);
  Outcome text = runLfmc("inspect " + package);
  EXPECT_EQ(text.code, 0) << text.err;
  for (const char *part : {"l0.in_proj", "panels", "arena of @prefill",
                           "kernel calls use the fallback", "layer 0, "})
    EXPECT_NE(text.out.find(part), std::string::npos) << part;
  json ofPackage = json::parse(runLfmc("inspect --json " + package).out);
  json ofCheckpoint = json::parse(runLfmc("inspect --json " + tiny()).out);
  for (const char *key : {"weights", "kernels", "functions", "sizes", "model"})
    EXPECT_EQ(ofPackage[key],
              key == std::string("name") ? ofPackage[key] : ofCheckpoint[key])
        << key;
}

TEST(Cli, CompilesACheckpointOnlyOnce) {
  fs::path copy = Sandbox::get().root / "copy";
  fs::copy(tiny(), copy, fs::copy_options::recursive);
  std::string run =
      "run " + copy.string() + " --max-context 64 --prompt abc -n 8 --temp 0";
  auto packages = [] {
    return std::distance(
        fs::directory_iterator(Sandbox::get().root / "cache/packages"),
        fs::directory_iterator());
  };
  Outcome first = runLfmc(run);
  ASSERT_EQ(first.code, 0) << first.err;
  auto count = packages();
  Outcome second = runLfmc(run);
  EXPECT_EQ(second.out, first.out);
  EXPECT_EQ(packages(), count);
  // Another checkpoint in the same place is another package.
  fs::path config = copy / "generation_config.json";
  if (fs::exists(config))
    fs::permissions(config, fs::perms::owner_all);
  std::ofstream(config) << R"({"temperature": 0.5})";
  EXPECT_EQ(runLfmc(run).code, 0);
  EXPECT_EQ(packages(), count + 1);
}

TEST(Cli, ChoosesBySeed) {
  std::string run = "run " LFMC_EXAMPLES "/lfm2-small-dense -n 24 --temp 1 "
                    "--prompt 'The king' --seed ";
  std::string one = runLfmc(run + "1").out;
  EXPECT_EQ(runLfmc(run + "1").out, one);
  EXPECT_NE(runLfmc(run + "2").out, one);
  EXPECT_EQ(runLfmc(run + "1 --threads 1").out.size() > 1, true);
}

TEST(Cli, ConversesByLines) {
  Outcome chat =
      runLfmc("run --chat -n 16 --temp 0 " LFMC_EXAMPLES "/lfm2-small-dense",
              "Define cynic.\nDefine love.\n");
  EXPECT_EQ(chat.code, 0) << chat.err;
  // The reference's answer to the first line.
  std::string wanted = "A person who has not been seen to be a digital.";
  EXPECT_EQ(chat.out.substr(0, wanted.size()), wanted);
  EXPECT_GE(std::count(chat.out.begin(), chat.out.end(), '\n'), 2);
}

// Ctrl-C stops the answer, not the program.
TEST(Cli, InterruptStopsTheAnswer) {
  std::string model = LFMC_EXAMPLES "/lfm2-small-dense";
  ASSERT_EQ(runLfmc("run " + model + " -n 1 --prompt x").code,
            0); // compiled now
  fs::path out = Sandbox::get().root / "answer";
  Outcome outcome =
      shell(LFMC_BINARY_DIR "/lfmc run " + model +
            " --threads 1 --prompt 'The' "
            "--repeat-penalty 1.3 --temp 1 > " +
            out.string() + " & pid=$!; for i in $(seq 1000); do [ -s " +
            out.string() +
            " ] && break; sleep 0.01; done; kill -INT $pid; wait $pid");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_NE(outcome.err.find("tok/s"), std::string::npos) << outcome.err;
}

TEST(Cli, ListsTargets) {
  Outcome targets = runLfmc("targets");
  EXPECT_EQ(targets.code, 0);
  EXPECT_NE(targets.out.find("x86-64-v3"), std::string::npos);
  EXPECT_NE(targets.out.find("'host'"), std::string::npos);
  // With facts of their own and without.
  Outcome listed = runLfmc("targets --json");
  EXPECT_EQ(listed.code, 0) << listed.err;
  std::map<std::string, json> all;
  for (const json &target : json::parse(listed.out))
    all[target["name"]] = target;
  EXPECT_EQ(all["x86-64-v3"]["triple"], "x86_64-unknown-linux-gnu");
  EXPECT_EQ(all["raspberry-pi-5"]["features"][0], "dotprod");
  EXPECT_FALSE(all["raspberry-pi-5"]["sources"].empty());
}

TEST(Cli, WorksWithoutALinkerOnlyByAMessage) {
  std::string package = (Sandbox::get().root / "unlinked").string();
  ASSERT_EQ(
      runLfmc("compile " + tiny() + " --max-context 32 -o " + package).code, 0);
  Outcome outcome =
      shell("PATH=/nonexistent LFMC_CACHE_DIR=" +
            (Sandbox::get().root / "empty-cache").string() +
            " " LFMC_BINARY_DIR "/lfmc run " + package + " --prompt x");
  expectError(outcome, "linker");
}

} // namespace
