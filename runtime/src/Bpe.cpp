// SPDX-License-Identifier: Apache-2.0
#include "Tokenizer.h"

namespace lfm_rt {

// Up to here a plain search for the best pair beats the heap.
static constexpr size_t kShortWord = 64;

WordEncoder::WordEncoder(const lfm_tokenizer &tokenizer)
    : tokenizer(tokenizer),
      merges(tokenizer.section<lfm_tokenizer_merge>(tokenizer.header.merges)),
      mergeMask(tokenizer.header.merges.count - 1),
      byteIds(tokenizer.section<int32_t>(tokenizer.header.byte_ids)) {}

bool WordEncoder::encode(const uint8_t *word, size_t bytes, TokenSink &sink) {
  if (tokenizer.header.flags & LFM_TOKENIZER_IGNORE_MERGES) {
    int32_t whole = tokenizer.findWord(word, bytes);
    if (whole >= 0) {
      sink.push(whole);
      return true;
    }
  }
  if (bytes > kShortWord)
    return encodeLong(word, bytes, sink);
  encodeShort(word, bytes, sink);
  return true;
}

const lfm_tokenizer_merge *WordEncoder::findMerge(int32_t left,
                                                  int32_t right) const {
  uint32_t l = static_cast<uint32_t>(left), r = static_cast<uint32_t>(right);
  for (uint32_t slot = lfm_tokenizer_hash_pair(l, r) & mergeMask;;
       slot = (slot + 1) & mergeMask) {
    const lfm_tokenizer_merge &merge = merges[slot];
    if (merge.left == l && merge.right == r)
      return &merge;
    if (merge.left == UINT32_MAX)
      return nullptr;
  }
}

void WordEncoder::encodeShort(const uint8_t *word, size_t bytes,
                              TokenSink &sink) {
  int32_t tokens[kShortWord];
  const lfm_tokenizer_merge *pairs[kShortWord]; // of token i and i + 1
  size_t count = 0;
  for (size_t i = 0; i < bytes; ++i)
    if (byteIds[word[i]] >= 0) // the reference drops bytes without a token
      tokens[count++] = byteIds[word[i]];
  for (size_t i = 0; i + 1 < count; ++i)
    pairs[i] = findMerge(tokens[i], tokens[i + 1]);
  for (;;) {
    size_t best = count;
    uint32_t rank = UINT32_MAX;
    for (size_t i = 0; i + 1 < count; ++i)
      if (pairs[i] && pairs[i]->rank < rank) {
        rank = pairs[i]->rank;
        best = i;
      }
    if (best == count)
      break;
    tokens[best] = static_cast<int32_t>(pairs[best]->token);
    --count;
    for (size_t i = best + 1; i < count; ++i) {
      tokens[i] = tokens[i + 1];
      pairs[i - 1] = pairs[i];
    }
    if (best + 1 < count)
      pairs[best] = findMerge(tokens[best], tokens[best + 1]);
    if (best > 0)
      pairs[best - 1] = findMerge(tokens[best - 1], tokens[best]);
  }
  for (size_t i = 0; i < count; ++i)
    sink.push(tokens[i]);
}

void WordEncoder::pushCandidate(int32_t position) {
  int32_t next = symbols[position].next;
  if (next < 0)
    return;
  int32_t left = symbols[position].token, right = symbols[next].token;
  const lfm_tokenizer_merge *merge = findMerge(left, right);
  if (!merge)
    return;
  Candidate candidate{merge->rank, position, left, right};
  size_t hole = heapSize++;
  for (; hole > 0 && candidate.before(heap[(hole - 1) / 2]);
       hole = (hole - 1) / 2)
    heap[hole] = heap[(hole - 1) / 2];
  heap[hole] = candidate;
}

WordEncoder::Candidate WordEncoder::popCandidate() {
  Candidate top = heap[0], last = heap[--heapSize];
  size_t hole = 0;
  for (size_t child = 1; child < heapSize; child = 2 * hole + 1) {
    if (child + 1 < heapSize && heap[child + 1].before(heap[child]))
      ++child;
    if (!heap[child].before(last))
      break;
    heap[hole] = heap[child];
    hole = child;
  }
  heap[hole] = last;
  return top;
}

bool WordEncoder::encodeLong(const uint8_t *word, size_t bytes,
                             TokenSink &sink) {
  // Every merge removes a symbol and adds at most two candidates.
  if (bytes > INT32_MAX / 4 || !symbols.reserve(bytes) ||
      !heap.reserve(3 * bytes))
    return false;
  int32_t count = 0;
  for (size_t i = 0; i < bytes; ++i)
    if (byteIds[word[i]] >= 0) {
      symbols[count] = {byteIds[word[i]], count - 1, count + 1};
      ++count;
    }
  if (count == 0)
    return true;
  symbols[count - 1].next = -1;
  heapSize = 0;
  for (int32_t i = 0; i < count; ++i)
    pushCandidate(i);
  while (heapSize > 0) {
    Candidate candidate = popCandidate();
    Symbol &left = symbols[candidate.position];
    // Outdated if one of the two has been merged since.
    if (left.token != candidate.left || left.next < 0 ||
        symbols[left.next].token != candidate.right)
      continue;
    Symbol &right = symbols[left.next];
    left.token =
        static_cast<int32_t>(findMerge(candidate.left, candidate.right)->token);
    right.token = -1;
    left.next = right.next;
    if (left.next >= 0)
      symbols[left.next].previous = candidate.position;
    pushCandidate(candidate.position);
    if (left.previous >= 0)
      pushCandidate(left.previous);
  }
  for (int32_t i = 0; i >= 0; i = symbols[i].next)
    sink.push(symbols[i].token);
  return true;
}

} // namespace lfm_rt
