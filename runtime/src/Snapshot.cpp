// SPDX-License-Identifier: Apache-2.0
//
// A snapshot: header, tokens int32_t[position], then of each piece of the state
// the part that is in use.
#include "Session.h"

#include <cstring>

using namespace lfm_rt;

namespace {

constexpr char kMagic[8] = {'L', 'F', 'M', 'S', 'N', 'A', 'P', '1'};

struct Header {
  char magic[8];
  uint8_t weights[16];
  uint64_t layout; // hash of the state's table: targets lay it out differently
  uint64_t bytes;  // of the snapshot
  int32_t position;
  uint32_t reserved;
};

uint64_t mix(uint64_t hash, uint64_t value) {
  hash = (hash ^ value) * UINT64_C(0x9e3779b97f4a7c15);
  return hash ^ hash >> 29;
}

uint64_t layoutHash(const lfm_program &p) {
  uint64_t hash = mix(p.state_bytes, static_cast<uint64_t>(p.state_count));
  for (int32_t i = 0; i < p.state_count; ++i) {
    const lfm_state_info &s = p.states[i];
    hash = mix(mix(mix(hash, s.offset), s.bytes), s.bytes_per_token);
    hash = mix(mix(hash, s.regions), s.granule);
  }
  for (const char *c = p.target; c && *c; ++c)
    hash = mix(hash, static_cast<uint8_t>(*c));
  return hash;
}

/// Bytes of each region of `s` in use at `position`.
size_t usedBytes(const lfm_state_info &s, int32_t position) {
  uint64_t region = s.bytes / s.regions;
  if (s.bytes_per_token == 0)
    return static_cast<size_t>(region);
  uint64_t granule = s.granule;
  uint64_t positions =
      (static_cast<uint64_t>(position) + granule - 1) / granule * granule;
  uint64_t used = positions * (s.bytes_per_token / s.regions);
  return static_cast<size_t>(used < region ? used : region);
}

size_t snapshotBytes(const lfm_program &p, int32_t position) {
  size_t bytes =
      sizeof(Header) + static_cast<size_t>(position) * sizeof(int32_t);
  for (int32_t i = 0; i < p.state_count; ++i)
    bytes += usedBytes(p.states[i], position) * p.states[i].regions;
  return bytes;
}

} // namespace

size_t lfm_session_snapshot_size(const lfm_session *session) {
  return session ? snapshotBytes(session->program(), session->position) : 0;
}

lfm_status lfm_session_snapshot_save(lfm_session *session, void *blob,
                                     size_t bytes) {
  if (!session)
    return LFM_ERROR_INVALID_ARGUMENT;
  const lfm_program &p = session->program();
  size_t wanted = snapshotBytes(p, session->position);
  if (!blob)
    return session->fail(LFM_ERROR_INVALID_ARGUMENT, "blob is null");
  if (bytes < wanted)
    return session->fail(LFM_ERROR_BUFFER_TOO_SMALL,
                         "snapshot: expected room for %zu bytes, found %zu",
                         wanted, bytes);
  Header header = {};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  std::memcpy(header.weights, p.weights_id, sizeof header.weights);
  header.layout = layoutHash(p);
  header.bytes = wanted;
  header.position = session->position;
  uint8_t *out = static_cast<uint8_t *>(blob);
  std::memcpy(out, &header, sizeof header);
  out += sizeof header;
  size_t tokenBytes = static_cast<size_t>(session->position) * sizeof(int32_t);
  std::memcpy(out, session->tokens, tokenBytes);
  out += tokenBytes;
  for (int32_t i = 0; i < p.state_count; ++i) {
    const lfm_state_info &s = p.states[i];
    size_t used = usedBytes(s, session->position);
    for (uint32_t r = 0; r < s.regions; ++r, out += used)
      std::memcpy(out, session->state + s.offset + r * (s.bytes / s.regions),
                  used);
  }
  return session->succeed();
}

lfm_status lfm_session_snapshot_load(lfm_session *session, const void *blob,
                                     size_t bytes) {
  if (!session)
    return LFM_ERROR_INVALID_ARGUMENT;
  const lfm_program &p = session->program();
  if (!blob)
    return session->fail(LFM_ERROR_INVALID_ARGUMENT, "blob is null");
  Header header;
  if (bytes < sizeof header)
    return session->fail(LFM_ERROR_SNAPSHOT,
                         "snapshot: expected at least %zu bytes, found %zu",
                         sizeof header, bytes);
  std::memcpy(&header, blob, sizeof header);
  if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0)
    return session->fail(LFM_ERROR_SNAPSHOT,
                         "snapshot: not one, or of another version");
  if (std::memcmp(header.weights, p.weights_id, sizeof header.weights) != 0 ||
      header.layout != layoutHash(p))
    return session->fail(LFM_ERROR_SNAPSHOT,
                         "snapshot: of another model than %s for %s", p.name,
                         p.target ? p.target : "this target");
  if (header.position < 0 || header.position > p.max_context ||
      header.bytes != bytes || snapshotBytes(p, header.position) != bytes)
    return session->fail(LFM_ERROR_SNAPSHOT,
                         "snapshot: truncated or damaged: %zu bytes at position"
                         " %d",
                         bytes, header.position);
  const uint8_t *in = static_cast<const uint8_t *>(blob) + sizeof header;
  for (int32_t i = 0; i < header.position; ++i) {
    int32_t token;
    std::memcpy(&token, in + sizeof token * static_cast<size_t>(i),
                sizeof token);
    if (token < 0 || token >= p.vocab_size)
      return session->fail(LFM_ERROR_SNAPSHOT,
                           "snapshot: damaged: token %d of %d is %d", i,
                           header.position, token);
  }

  session->reset();
  // Copied first: the blob need not be aligned.
  size_t tokenBytes = static_cast<size_t>(header.position) * sizeof(int32_t);
  std::memcpy(session->tokens, in, tokenBytes);
  session->restoreTokens(session->tokens, header.position);
  in += tokenBytes;
  for (int32_t i = 0; i < p.state_count; ++i) {
    const lfm_state_info &s = p.states[i];
    size_t used = usedBytes(s, header.position);
    for (uint32_t r = 0; r < s.regions; ++r, in += used)
      std::memcpy(session->state + s.offset + r * (s.bytes / s.regions), in,
                  used);
  }
  return session->succeed();
}
