// SPDX-License-Identifier: Apache-2.0
//
// Small seeded generators whose streams are the same on every machine.
#ifndef LFMC_FRONTEND_RANDOM_H
#define LFMC_FRONTEND_RANDOM_H

#include <bit>
#include <cstdint>

namespace lfmc {

/// splitmix64: a stream from any seed; also mixes seeds and indices.
class SplitMix64 {
public:
  explicit SplitMix64(uint64_t seed) : state(seed) {}
  uint64_t operator()() {
    uint64_t z = (state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  /// Uniform in [0, n), n > 0; the bias is below n / 2^64.
  uint64_t below(uint64_t n) {
    return uint64_t((static_cast<unsigned __int128>((*this)()) * n) >> 64);
  }

private:
  uint64_t state;
};

/// xoshiro256++.
class Xoshiro256 {
public:
  explicit Xoshiro256(uint64_t seed) {
    SplitMix64 mix(seed);
    for (uint64_t &word : s)
      word = mix();
  }
  uint64_t operator()() {
    uint64_t result = std::rotl(s[0] + s[3], 23) + s[0], t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = std::rotl(s[3], 45);
    return result;
  }

private:
  uint64_t s[4];
};

} // namespace lfmc

#endif // LFMC_FRONTEND_RANDOM_H
