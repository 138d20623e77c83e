// SPDX-License-Identifier: Apache-2.0
//
// From what an emulator counted to cycles.
#include "codegen/tune/CoreModel.h"

#include "frontend/Errors.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Object/ObjectFile.h"

using namespace llvm;

namespace lfmc::tune {

// The same body: the first iteration is often part of the block before it.
static constexpr double alike = 0.75;
// Of the instructions, for which the model is asked.
static constexpr double covered = 0.98;

std::optional<Counts> Counts::parse(StringRef line) {
  Counts counts;
  SmallVector<StringRef> words;
  line.split(words, ' ', -1, /*KeepEmpty=*/false);
  if (words.empty() || words[0].getAsInteger(10, counts.instructions))
    return std::nullopt;
  for (StringRef word : ArrayRef(words).drop_front()) {
    // @ADDRESS+INSTRUCTIONS=EXECUTIONS
    auto [place, executions] = word.split('=');
    auto [address, instructions] = place.split('+');
    Block block;
    if (!address.consume_front("@") ||
        address.getAsInteger(16, block.address) ||
        instructions.getAsInteger(10, block.instructions) ||
        executions.getAsInteger(10, block.executions) ||
        block.instructions == 0)
      return std::nullopt;
    counts.blocks.push_back(block);
  }
  return counts;
}

static double executed(const Block &block) {
  return double(block.instructions) * double(block.executions);
}

std::vector<Block> joinBlocks(std::vector<Block> blocks) {
  llvm::sort(blocks, [](const Block &a, const Block &b) {
    return a.address < b.address;
  });
  std::vector<Block> joined;
  // An instruction has at least as many bytes everywhere: 4 on the machines
  // that are counted.
  for (const Block &block : blocks) {
    if (!joined.empty()) {
      Block &last = joined.back();
      const uint64_t end = last.address + 4 * uint64_t(last.instructions);
      const auto [less, more] = std::minmax(last.executions, block.executions);
      if (end == block.address && double(less) >= alike * double(more)) {
        last.instructions += block.instructions;
        last.executions = more;
        continue;
      }
    }
    joined.push_back(block);
  }
  llvm::sort(joined, [](const Block &a, const Block &b) {
    return executed(a) != executed(b) ? executed(a) > executed(b)
                                      : a.address < b.address;
  });
  return joined;
}

Expected<double> modelledCycles(const CoreModel &core, const std::string &path,
                                const Counts &counts) {
  auto file = object::ObjectFile::createObjectFile(path);
  if (!file)
    return makeError("{}: {}", path, toString(file.takeError()));
  // From an address on.
  auto codeAt = [&](uint64_t address) -> ArrayRef<uint8_t> {
    for (const object::SectionRef &section : file->getBinary()->sections()) {
      const uint64_t begin = section.getAddress();
      if (!section.isText() || address < begin ||
          address - begin >= section.getSize())
        continue;
      Expected<StringRef> contents = section.getContents();
      if (!contents) {
        consumeError(contents.takeError());
        return {};
      }
      return arrayRefFromStringRef(contents->drop_front(address - begin));
    }
    return {};
  };
  double cycles = 0, known = 0, seen = 0;
  for (const Block &block : joinBlocks(counts.blocks)) {
    if (seen >= covered * double(counts.instructions))
      break;
    seen += executed(block);
    std::optional<double> once =
        core.cycles(codeAt(block.address), block.address, block.instructions);
    if (!once)
      continue;
    cycles += *once * double(block.executions);
    known += executed(block);
  }
  if (known <= 0 || cycles <= 0)
    return makeError("{}: the model knows none of the code that was executed "
                     "most",
                     path);
  return cycles * std::max(1.0, double(counts.instructions) / known);
}

} // namespace lfmc::tune
