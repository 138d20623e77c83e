// SPDX-License-Identifier: Apache-2.0
#include "frontend/BpeTrainer.h"

#include "llvm/ADT/STLExtras.h"

using namespace llvm;

namespace lfmc {

BpeTrainer::BpeTrainer(const std::vector<CountedWord> &input) {
  for (int i = 0; i < 256; ++i) {
    pieces.emplace_back(1, char(i));
    ids.try_emplace(pieces.back(), i);
  }
  words.reserve(input.size());
  for (const CountedWord &word : input) {
    words.push_back({{}, word.count});
    for (unsigned char byte : word.bytes)
      words.back().symbols.push_back(byte);
    addPairs(words.size() - 1, nullptr);
  }
  for (auto &[pair, info] : pairs)
    queue.push({info.count, pair});
}

void BpeTrainer::train(size_t wanted) {
  while (pieces.size() < wanted && !queue.empty()) {
    Candidate best = queue.top();
    queue.pop();
    auto it = pairs.find(best.pair);
    if (it != pairs.end() && it->second.count == best.count)
      merge(best.pair);
  }
}

void BpeTrainer::addPairs(uint32_t index, std::vector<Pair> *changed) {
  Word &word = words[index];
  for (size_t i = 1; i < word.symbols.size(); ++i) {
    Pair pair(word.symbols[i - 1], word.symbols[i]);
    PairInfo &info = pairs[pair];
    info.count += word.count;
    if (info.words.empty() || info.words.back() != index)
      info.words.push_back(index);
    if (changed)
      changed->push_back(pair);
  }
}

void BpeTrainer::merge(Pair pair) {
  std::string text = pieces[pair.first] + pieces[pair.second];
  auto [id, isNew] = ids.try_emplace(text, pieces.size());
  uint32_t merged = id->second;
  if (isNew)
    pieces.push_back(std::move(text));
  merges.push_back({pair.first, pair.second});
  std::vector<uint32_t> affected = std::move(pairs[pair].words);
  std::vector<Pair> changed;
  for (uint32_t index : affected) {
    Word &word = words[index];
    auto &symbols = word.symbols;
    bool present = false;
    for (size_t i = 1; i < symbols.size(); ++i)
      present |= symbols[i - 1] == pair.first && symbols[i] == pair.second;
    if (!present)
      continue; // listed twice, or merged away by an earlier step
    for (size_t i = 1; i < symbols.size(); ++i) {
      Pair old(symbols[i - 1], symbols[i]);
      pairs[old].count -= word.count;
      changed.push_back(old);
    }
    size_t out = 0;
    for (size_t i = 0; i < symbols.size(); ++i, ++out) {
      if (i + 1 < symbols.size() && symbols[i] == pair.first &&
          symbols[i + 1] == pair.second) {
        symbols[out] = merged;
        ++i;
      } else {
        symbols[out] = symbols[i];
      }
    }
    symbols.resize(out);
    addPairs(index, &changed);
  }
  llvm::sort(changed);
  changed.erase(llvm::unique(changed), changed.end());
  for (const Pair &pair : changed)
    if (int64_t count = pairs[pair].count; count > 0)
      queue.push({count, pair});
}

} // namespace lfmc
