// SPDX-License-Identifier: Apache-2.0
#include "tests/codegen/halide/Harness.h"

#include <HalideRuntime.h>
#include <dlfcn.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>
#include <utility>

namespace lfmc::halide::test {

Guarded::Guarded(size_t bytes) {
  size_t page = sysconf(_SC_PAGESIZE);
  mapBytes = (bytes + page - 1) / page * page + page;
  map = mmap(nullptr, mapBytes, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (map == MAP_FAILED)
    throw std::bad_alloc();
  char *end = static_cast<char *>(map) + mapBytes - page;
  mprotect(end, page, PROT_NONE);
  start = end - bytes;
}

Guarded::~Guarded() { munmap(map, mapBytes); }

// Pointers and 32-bit integers travel alike in the calling conventions that
// these tests run under: an integer register or a stack slot each.
template <size_t... I>
static void call(void *function, void *const *args, std::index_sequence<I...>) {
  using Signature = int (*)(decltype((void)I, static_cast<void *>(nullptr))...);
  EXPECT_EQ(reinterpret_cast<Signature>(function)(args[I]...), 0);
}

void Kernel::operator()(const std::vector<void *> &buffers,
                        const std::vector<int32_t> &scalars) const {
  std::vector<halide_buffer_t> records(buffers.size());
  std::vector<void *> args;
  for (size_t i = 0; i < buffers.size(); ++i) {
    std::memset(static_cast<void *>(&records[i]), 0xa5, sizeof records[i]);
    records[i].host = static_cast<uint8_t *>(buffers[i]);
    args.push_back(&records[i]);
  }
  for (int32_t scalar : scalars)
    args.push_back(reinterpret_cast<void *>(intptr_t(scalar)));
  void *const *a = args.data();
  switch (args.size()) {
  case 2:
    return call(function, a, std::make_index_sequence<2>());
  case 3:
    return call(function, a, std::make_index_sequence<3>());
  case 4:
    return call(function, a, std::make_index_sequence<4>());
  case 5:
    return call(function, a, std::make_index_sequence<5>());
  case 6:
    return call(function, a, std::make_index_sequence<6>());
  case 7:
    return call(function, a, std::make_index_sequence<7>());
  case 10:
    return call(function, a, std::make_index_sequence<10>());
  case 12:
    return call(function, a, std::make_index_sequence<12>());
  }
  FAIL() << "no call with " << args.size() << " arguments";
}

std::string describe(const MicroKernel &kernel) {
  std::string text = kernel.family;
  for (const auto &[name, value] : kernel.ints)
    text += fmt::format(" {}={}", name, value);
  for (const auto &[name, value] : kernel.doubles)
    text += fmt::format(" {}={}", name, value);
  return text;
}

namespace {
// A folder that goes away with the test, even a failing one.
struct TemporaryFolder {
  std::filesystem::path path;
  TemporaryFolder() {
    std::string pattern =
        std::filesystem::temp_directory_path() / "lfmc_halide_XXXXXX";
    if (!mkdtemp(pattern.data()))
      throw std::runtime_error("cannot create a temporary folder");
    path = pattern;
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path); }
};
} // namespace

void runCases(const Isa &isa, const std::vector<Case> &cases) {
  TemporaryFolder folder;
  std::vector<std::string> messages(cases.size());
  std::atomic<size_t> next{0};
  auto work = [&] {
    for (size_t i; (i = next++) < cases.size();)
      messages[i] =
          isa.emit(cases[i].kernel, fmt::format("k{}", i), Emit::Object,
                   folder.path / fmt::format("k{}.o", i));
  };
  std::thread other(work);
  work();
  other.join();
  for (size_t i = 0; i < cases.size(); ++i)
    ASSERT_EQ(messages[i], "") << describe(cases[i].kernel);

  // -z defs: an undefined symbol (libm, memcpy, the Halide runtime) is an
  // error.
  std::string library = folder.path / "kernels.so";
  std::string response = folder.path / "objects.txt";
  std::ofstream list(response);
  for (size_t i = 0; i < cases.size(); ++i)
    list << (folder.path / fmt::format("k{}.o", i)).string() << '\n';
  list << isa.library << '\n';
  list.close();
  std::string command = fmt::format("'{}' -shared -z defs -o '{}' '@{}'",
                                    LFMC_LLD, library, response);
  ASSERT_EQ(std::system(command.c_str()), 0) << command;
  void *handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  ASSERT_NE(handle, nullptr) << dlerror();
  for (size_t i = 0; i < cases.size(); ++i) {
    SCOPED_TRACE(describe(cases[i].kernel));
    Kernel kernel{dlsym(handle, fmt::format("k{}", i).c_str())};
    ASSERT_NE(kernel.function, nullptr);
    cases[i].check(kernel);
    if (::testing::Test::HasFatalFailure())
      break;
  }
  dlclose(handle);
}

float Random::operator()() {
  state ^= state << 13;
  state ^= state >> 17;
  state ^= state << 5;
  return static_cast<float>(static_cast<int32_t>(state)) * 0x1p-31f;
}

uint16_t toBf16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

float fromBf16(uint16_t bits) {
  uint32_t wide = uint32_t(bits) << 16;
  float value;
  std::memcpy(&value, &wide, 4);
  return value;
}

uint16_t toF16(float value) {
  _Float16 half = static_cast<_Float16>(value);
  uint16_t bits;
  std::memcpy(&bits, &half, 2);
  return bits;
}

float fromF16(uint16_t bits) {
  _Float16 half;
  std::memcpy(&half, &bits, 2);
  return static_cast<float>(half);
}

} // namespace lfmc::halide::test
