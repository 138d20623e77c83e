// SPDX-License-Identifier: Apache-2.0
//
// What becomes of candidates that misbehave, and of devices that disappear. The
// candidates are C functions in the place of generated kernels.
#include "codegen/tune/Measurer.h"
#include "codegen/tune/Process.h"
#include "codegen/tune/Session.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace lfmc::tune {
namespace {

namespace fs = std::filesystem;

class DeviceTest : public testing::Test {
protected:
  void SetUp() override {
    if (!fs::exists(LFMC_MEASURE "/measure-x86_64.o"))
      GTEST_SKIP() << "no measuring program for this machine";
    std::string pattern = fs::temp_directory_path() / "lfmc-device-XXXXXX";
    folder = mkdtemp(pattern.data());
    problem = llvm::cantFail(Problem::create(kernel, target));
    const bool four = kernel.find("attention") == 0;
    types = four ? "char*, char*, char*, char*, N, N, N"
                 : "char*, char*, char*, N, N, N";
    names = four ? "char *x, char *w, char *v, char *y, N n, N p, N c"
                 : "char *x, char *w, char *y, N n, N p, N c";
    options.seconds = 0.05;
    options.threads = 1; // a busy machine disturbs one least
    options.tokens = 20;
    options.coldBytes = 1 << 16;
    options.limitSeconds = 4;
    job = folder / "job";
    auto bytes = problem->job(Phase::Many, problem->space().preset(), options);
    std::ofstream(job).write(reinterpret_cast<char *>(bytes.data()),
                             std::streamsize(bytes.size()));
  }
  void TearDown() override {
    unsetenv("LFMC_SSH");
    unsetenv("LFMC_ADB");
    if (!folder.empty())
      fs::remove_all(folder);
  }

  /// The measuring program with the preset's kernel and `body` as candidate.
  std::string program(const std::string &body) {
    std::string files = LFMC_MEASURE "/measure-x86_64.o";
    auto objects = llvm::cantFail(problem->compile(
        Phase::Many, problem->space().preset(), "lfm_kernel_0", folder, 1));
    for (const ObjectFile &object : objects) {
      fs::path path = folder / object.name;
      std::ofstream(path).write(object.bytes.data(),
                                std::streamsize(object.bytes.size()));
      files += " " + path.string();
    }
    std::ofstream(folder / "k.c")
        << "typedef long N; void lfm_kernel_0(" << types
        << ");\nvoid lfm_kernel_1(" << names << ") {" << body << "}\n";
    std::string output = folder / "program";
    std::string command =
        std::string(LFMC_CC) + " -O1 -fno-stack-protector -c " +
        (folder / "k.c").string() + " -o " + (folder / "k.o").string() +
        " && ld.lld-22 -static --gc-sections -o " + output + " " + files + " " +
        (folder / "k.o").string();
    EXPECT_EQ(std::system(command.c_str()), 0);
    return output;
  }
  Outcome run(const std::string &body, const char *device = "local") {
    return llvm::cantFail(openDevice(device))
        ->run(program(body), job, options.limitSeconds);
  }
  /// An executable script.
  std::string script(const std::string &text) {
    fs::path path = folder / "script";
    std::ofstream(path) << "#!/bin/sh\n" << text;
    fs::permissions(path, fs::perms::owner_all);
    return path;
  }

  std::string kernel = "linear n=256 k=64 f32", types, names;
  const Target &target = **findTarget("x86-64-v2");
  std::unique_ptr<Problem> problem;
  MeasureOptions options;
  fs::path folder, job;
};

const char *good = "lfm_kernel_0(x, w, y, n, p, c);";

TEST_F(DeviceTest, MeasuresAgainstThePreset) {
  Outcome same = run(good);
  ASSERT_EQ(same.status, Status::Measured) << same.message;
  EXPECT_GT(same.ratio, 0.4);
  EXPECT_LT(same.ratio, 2.5);
  EXPECT_GT(same.threads, 0);
  EXPECT_GT(same.gigahertz[0], 0.1);
  Outcome slow =
      run("for (int i = 0; i < 8; ++i) lfm_kernel_0(x, w, y, n, p, c);");
  ASSERT_EQ(slow.status, Status::Measured) << slow.message;
  EXPECT_GT(slow.ratio, 2.5);
}

TEST_F(DeviceTest, FindsWrongNumbers) {
  EXPECT_EQ(run("").status, Status::Wrong);
  Outcome last = run("lfm_kernel_0(x, w, y, n, p, c);"
                     "((float *)y)[20 * 256 - 1] += 0.01f;");
  ASSERT_EQ(last.status, Status::Wrong);
  EXPECT_NE(last.message.find("row 19, column 255"), std::string::npos)
      << last.message;
  // Right once is not enough: the last call is checked, too.
  EXPECT_EQ(run("static int calls; lfm_kernel_0(x, w, y, n, p, c);"
                "if (__sync_add_and_fetch(&calls, 1) > 40) "
                "for (N i = 0; i < 256 * n; ++i) ((float *)y)[i] = 0;")
                .status,
            Status::Wrong);
}

class AttentionDeviceTest : public DeviceTest {
protected:
  AttentionDeviceTest() { kernel = "attention heads=4 kv=2 dim=32 f16"; }
};

TEST_F(AttentionDeviceTest, FindsWrongNumbers) {
  auto call = [](const char *arguments) {
    return std::string("lfm_kernel_0(") + arguments + ");";
  };
  Outcome right = run(call("x, w, v, y, n, p, c"));
  EXPECT_EQ(right.status, Status::Measured) << right.message;
  // Keys for values, a position too many, another head, all but a head.
  for (const char *wrong : {"x, w, w, y, n, p, c", "x, w, v, y, n, p + 1, c",
                            "x + 256, w, v, y, n - 1, p, c"})
    EXPECT_EQ(run(call(wrong)).status, Status::Wrong) << wrong;
  EXPECT_EQ(run("if (c != 1) lfm_kernel_0(x, w, v, y, n, p, c);").status,
            Status::Wrong);
}

/// Every choice computes what the reference does, whatever the caches hold.
TEST_F(AttentionDeviceTest, ChecksEveryKind) {
  auto device = llvm::cantFail(openDevice("local"));
  auto measurer =
      llvm::cantFail(Measurer::create(*device, target, LFMC_MEASURE, folder));
  options.seconds = 0.01;
  options.tokens = 70; // more than a block, no whole tiles
  for (const char *name : {"attention heads=6 kv=2 dim=32 f32 window=40",
                           "attention heads=4 kv=1 dim=64 f16",
                           "attention heads=4 kv=4 dim=32 q8"}) {
    auto its = llvm::cantFail(Problem::create(name, target));
    for (Phase phase : phases) {
      const std::vector<Choice> all = its->space().choices(phase);
      ASSERT_EQ(all.size(), phase == Phase::One ? 192u : 64u);
      for (size_t i : {all.size() / 3, all.size() - 1}) {
        Outcome outcome = measurer->run(
            measurer->prepare(*its, phase, all[i], options, 1), options);
        EXPECT_EQ(outcome.status, Status::Measured)
            << name << " " << phaseName(phase).str() << " " << i << ": "
            << outcome.message;
        EXPECT_EQ(outcome.tokens, phase == Phase::One ? 1 : 70);
      }
    }
  }
}

TEST_F(DeviceTest, SurvivesCrashesAndHangs) {
  EXPECT_EQ(run("*(volatile int *)8 = 1;").status, Status::Crashed);
  EXPECT_EQ(run("__builtin_trap();").status, Status::Crashed);
  auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(run("for (volatile int i = 0;; ++i);").status, Status::Hung);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
}

TEST_F(DeviceTest, GoesThroughAPipeLikeSsh) {
  // What ssh does with its last argument.
  setenv("LFMC_SSH", script("shift\nexec sh -c \"$1\"\n").c_str(), 1);
  Outcome outcome = run(good, "ssh:nowhere");
  EXPECT_EQ(outcome.status, Status::Measured) << outcome.message;
  EXPECT_EQ(run("", "ssh:nowhere").status, Status::Wrong);
  EXPECT_EQ(run("*(volatile int *)8 = 1;", "ssh:nowhere").status,
            Status::Crashed);
  EXPECT_EQ(run("for (volatile int i = 0;; ++i);", "ssh:nowhere").status,
            Status::Hung);
}

/// An sshd of this user's on a port of its own.
TEST_F(DeviceTest, GoesThroughSsh) {
  if (!fs::exists("/usr/sbin/sshd") || getuid() != 0)
    GTEST_SKIP() << "SKIPPED: needs openssh-server and root";
  const std::string place = folder,
                    port = std::to_string(20000 + getpid() % 20000);
  auto shell = [&](const std::string &command) {
    return std::system((command + " > /dev/null 2>&1").c_str());
  };
  fs::create_directories("/run/sshd");
  for (const char *name : {"host", "user"})
    ASSERT_EQ(shell("ssh-keygen -q -t ed25519 -N '' -f " + place + "/" + name),
              0);
  ASSERT_EQ(
      shell("/usr/sbin/sshd -f /dev/null -o ListenAddress=127.0.0.1 -o "
            "StrictModes=no -o PermitRootLogin=yes -o UsePAM=no -o Port=" +
            port + " -o HostKey=" + place + "/host -o PidFile=" + place +
            "/pid -o AuthorizedKeysFile=" + place + "/user.pub"),
      0);
  const std::string ssh =
      "ssh -F /dev/null -o BatchMode=yes -o StrictHostKeyChecking=no -o "
      "UserKnownHostsFile=/dev/null -o LogLevel=ERROR -i " +
      place + "/user -p " + port;
  setenv("LFMC_SSH", ssh.c_str(), 1);
  bool reached = false;
  for (int i = 0; i < 50 && !reached; ++i)
    if (!(reached = shell(ssh + " root@127.0.0.1 true") == 0))
      usleep(100000);
  auto device = llvm::cantFail(openDevice("ssh:root@127.0.0.1"));
  Outcome right, crashed;
  if (reached) {
    auto info = device->cpuinfo();
    EXPECT_TRUE(bool(info));
    if (info)
      EXPECT_EQ(cpuModelOf(*info), cpuModel());
    right = run(good, "ssh:root@127.0.0.1");
    crashed = run("__builtin_trap();", "ssh:root@127.0.0.1");
  }
  shell("kill $(cat " + place + "/pid)");
  ASSERT_TRUE(reached);
  EXPECT_EQ(right.status, Status::Measured) << right.message;
  EXPECT_EQ(crashed.status, Status::Crashed) << crashed.message;
  // The other end is gone.
  while (shell(ssh + " root@127.0.0.1 true") == 0)
    usleep(100000);
  EXPECT_EQ(run(good, "ssh:root@127.0.0.1").status, Status::Lost);
}

TEST_F(DeviceTest, GoesThroughAdb) {
  // push copies, shell runs; the device's folder is one of this machine.
  setenv("LFMC_ADB",
         script("shift 2\ndir=" + folder.string() +
                "\ncase $1 in\npush) cp \"$2\" \"$dir/${3##*/}\";;\n"
                "shell) shift; sh -c \"$(echo \"$*\" | sed "
                "\"s|/data/local/tmp|$dir|g\")\";;\nesac\n")
             .c_str(),
         1);
  Outcome outcome = run(good, "adb:serial");
  EXPECT_EQ(outcome.status, Status::Measured) << outcome.message;
  EXPECT_EQ(run("__builtin_trap();", "adb:serial").status, Status::Crashed);
  EXPECT_EQ(run("", "adb:serial").status, Status::Wrong);
  EXPECT_FALSE(fs::exists(folder / "lfmc-job"));
}

TEST_F(DeviceTest, KnowsALostDeviceFromABadCandidate) {
  setenv("LFMC_SSH", script("echo broken pipe >&2; exit 255\n").c_str(), 1);
  Outcome outcome = run(good, "ssh:nowhere");
  EXPECT_EQ(outcome.status, Status::Lost);
  EXPECT_NE(outcome.message.find("broken pipe"), std::string::npos);
  setenv("LFMC_ADB", script("echo no device >&2; exit 1\n").c_str(), 1);
  EXPECT_EQ(run(good, "adb:x").status, Status::Lost);
  // Gone between push and answer.
  setenv("LFMC_ADB", script("[ $3 = push ] && exit 0; exit 1\n").c_str(), 1);
  EXPECT_EQ(run(good, "adb:x").status, Status::Lost);
}

TEST_F(DeviceTest, TellsWhatItFoundBeforeTheDeviceIsLost) {
  // Three answers, then nothing.
  setenv("LFMC_SSH",
         script("n=$(cat " + folder.string() +
                "/n 2>/dev/null || echo 0)\n"
                "echo $((n+1)) > " +
                folder.string() +
                "/n\n"
                "[ $n -lt 3 ] || exit 255\nshift\nexec sh -c \"$1\"\n")
             .c_str(),
         1);
  auto device = llvm::cantFail(openDevice("ssh:nowhere"));
  auto measurer =
      llvm::cantFail(Measurer::create(*device, target, LFMC_MEASURE, ""));
  size_t told = 0;
  SessionOptions session;
  session.measure = options;
  session.budgetSeconds = 60;
  SessionEvents events;
  events.measured = [&](const Measurement &) { ++told; };
  Session tuning(*measurer, target, {}, session, events);
  ASSERT_FALSE(tuning.add({kernel, {1, 1}}));
  volatile bool stop = false;
  std::string text = llvm::toString(tuning.run(stop));
  EXPECT_NE(text.find("device ssh:nowhere is lost"), std::string::npos) << text;
  // A busy machine drifts, and an unsteady measurement takes several answers.
  EXPECT_GE(told, 1u);
  EXPECT_LE(told, 3u);
}

TEST(OpenDevice, RefusesOthers) {
  for (const char *name :
       {"", "remote", "ssh:", "ssh:-oProxyCommand=x", "qemu:", "qemux"}) {
    auto device = openDevice(name);
    ASSERT_FALSE(bool(device)) << name;
    llvm::consumeError(device.takeError());
  }
}

} // namespace
} // namespace lfmc::tune
