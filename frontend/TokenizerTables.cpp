// SPDX-License-Identifier: Apache-2.0
#include "frontend/TokenizerTables.h"

#include <algorithm>
#include <array>
#include <cstring>

using namespace lfmc;

namespace {

/// byteOf[c] for the characters U+0000..U+0143, -1 where none.
std::array<int, 324> makeByteAlphabet() {
  std::array<int, 324> byteOf;
  byteOf.fill(-1);
  int next = 256;
  for (int byte = 0; byte < 256; ++byte) {
    bool printable = (byte >= 33 && byte <= 126) ||
                     (byte >= 161 && byte <= 172) || byte >= 174;
    byteOf[printable ? byte : next++] = byte;
  }
  return byteOf;
}

} // namespace

std::optional<std::string> lfmc::bytesOfToken(const std::string &token) {
  static const std::array<int, 324> byteOf = makeByteAlphabet();
  std::string bytes;
  for (size_t i = 0; i < token.size(); ++i) {
    uint32_t c = static_cast<uint8_t>(token[i]);
    if (c >= 0x80) { // two-byte sequences reach far enough
      if ((c & 0xe0) != 0xc0)
        return std::nullopt;
      c = (c & 0x1f) << 6 | (static_cast<uint8_t>(token[++i]) & 0x3f);
    }
    if (c >= byteOf.size() || byteOf[c] < 0)
      return std::nullopt;
    bytes.push_back(static_cast<char>(byteOf[c]));
  }
  return bytes;
}

namespace {

/// A growing block whose sections start at multiples of 8.
class Block {
public:
  template <typename T>
  lfm_tokenizer_section append(const std::vector<T> &items) {
    data.resize((data.size() + 7) / 8 * 8);
    lfm_tokenizer_section section = {static_cast<uint32_t>(data.size()),
                                     static_cast<uint32_t>(items.size())};
    auto *begin = reinterpret_cast<const uint8_t *>(items.data());
    data.insert(data.end(), begin, begin + items.size() * sizeof(T));
    return section;
  }

  std::vector<uint8_t> data;
};

/// Slots of a hash table at most half full.
size_t slotsFor(size_t count) {
  size_t slots = 2;
  while (slots < 2 * count)
    slots *= 2;
  return slots;
}

std::vector<lfm_tokenizer_merge>
hashMerges(const std::vector<lfm_tokenizer_merge> &merges) {
  constexpr lfm_tokenizer_merge kFree = {UINT32_MAX, UINT32_MAX, UINT32_MAX, 0};
  std::vector<lfm_tokenizer_merge> slots(slotsFor(merges.size()), kFree);
  size_t mask = slots.size() - 1;
  for (const lfm_tokenizer_merge &merge : merges) {
    size_t slot = lfm_tokenizer_hash_pair(merge.left, merge.right) & mask;
    while (slots[slot].left != UINT32_MAX)
      slot = (slot + 1) & mask;
    slots[slot] = merge;
  }
  return slots;
}

std::vector<uint32_t> hashWords(const TokenizerTables &tables) {
  std::vector<uint32_t> slots(slotsFor(tables.words.size()), 0);
  size_t mask = slots.size() - 1;
  for (int32_t id : tables.words) {
    const std::string &word = tables.bytes[id];
    size_t slot =
        lfm_tokenizer_hash_word(reinterpret_cast<const uint8_t *>(word.data()),
                                word.size()) &
        mask;
    while (slots[slot])
      slot = (slot + 1) & mask;
    slots[slot] = static_cast<uint32_t>(id) + 1;
  }
  return slots;
}

} // namespace

std::vector<uint8_t> lfmc::writeTokenizer(const TokenizerTables &tables) {
  lfm_tokenizer_header header = {};
  std::memcpy(header.magic, LFM_TOKENIZER_MAGIC, sizeof header.magic);
  header.flags = tables.flags;
  header.split = tables.split;
  header.chat = tables.chat;
  header.bos = tables.bos;
  header.token_count = static_cast<int32_t>(tables.bytes.size());

  Block block;
  block.data.resize(sizeof header);

  std::vector<uint32_t> offsets = {0};
  std::vector<char> text;
  for (const std::string &bytes : tables.bytes) {
    text.insert(text.end(), bytes.begin(), bytes.end());
    offsets.push_back(static_cast<uint32_t>(text.size()));
    header.max_token_bytes =
        std::max(header.max_token_bytes, static_cast<uint32_t>(bytes.size()));
  }
  header.offsets = block.append(offsets);
  header.text = block.append(text);
  header.flags_of = block.append(tables.tokenFlags);

  std::vector<int32_t> byteIds(256, -1);
  for (int32_t id : tables.words)
    if (tables.bytes[id].size() == 1)
      byteIds[static_cast<uint8_t>(tables.bytes[id][0])] = id;
  header.byte_ids = block.append(byteIds);
  header.merges = block.append(hashMerges(tables.merges));
  header.words = block.append(hashWords(tables));

  std::vector<TokenizerTables::Added> added = tables.added;
  // std::string compares as unsigned bytes.
  std::sort(added.begin(), added.end(), [](const auto &a, const auto &b) {
    return a.spelling < b.spelling;
  });
  std::vector<lfm_tokenizer_added> entries;
  std::vector<char> spellings;
  for (const TokenizerTables::Added &token : added) {
    entries.push_back({static_cast<uint32_t>(spellings.size()),
                       static_cast<uint32_t>(token.spelling.size()), token.id,
                       token.flags});
    spellings.insert(spellings.end(), token.spelling.begin(),
                     token.spelling.end());
  }
  header.added = block.append(entries);
  header.added_text = block.append(spellings);
  header.prefix = block.append(tables.prefix);
  header.suffix = block.append(tables.suffix);
  header.bytes = static_cast<uint32_t>(block.data.size());
  std::memcpy(block.data.data(), &header, sizeof header);
  return std::move(block.data);
}
