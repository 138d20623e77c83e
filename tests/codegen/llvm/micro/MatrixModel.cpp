// SPDX-License-Identifier: Apache-2.0
//
// AMX as plain C++: eight tiles, palette 1, written from Intel's description of
// the instructions. Kernels under test call these functions where the processor
// would execute the instruction (MicroIsas.cpp). What would fault traps.
#include <cstdint>

namespace {
struct Tile {
  unsigned rows, rowBytes;
  uint8_t data[16][64];
};
Tile tiles[8];
bool configured;

// Kernels are linked without a C library.
void copy(uint8_t *to, const uint8_t *from, unsigned bytes) {
  for (unsigned i = 0; i < bytes; ++i)
    to[i] = from[i];
}

void clear(Tile &tile) {
  for (auto &row : tile.data)
    for (uint8_t &byte : row)
      byte = 0;
}

Tile &used(int8_t number) {
  if (!configured || number < 0 || number > 7 || !tiles[number].rows)
    __builtin_trap();
  return tiles[number];
}
} // namespace

extern "C" {

void lfmc_test_ldtilecfg(const uint8_t *config) {
  if (config[0] != 1)
    __builtin_trap();
  for (int i = 0; i < 8; ++i) {
    const unsigned bytes = config[16 + 2 * i] | config[17 + 2 * i] << 8;
    if (bytes > 64 || config[48 + i] > 16 || !bytes != !config[48 + i])
      __builtin_trap();
    tiles[i].rows = config[48 + i];
    tiles[i].rowBytes = bytes;
    clear(tiles[i]);
  }
  for (int i = 1; i < 16; ++i)
    if (config[i])
      __builtin_trap();
  configured = true;
}

void lfmc_test_tilerelease() { configured = false; }

void lfmc_test_tilezero(int8_t number) { clear(used(number)); }

void lfmc_test_tileloadd64(int8_t number, const uint8_t *memory,
                           int64_t stride) {
  Tile &tile = used(number);
  clear(tile);
  for (unsigned row = 0; row < tile.rows; ++row)
    copy(tile.data[row], memory + row * stride, tile.rowBytes);
}

void lfmc_test_tilestored64(int8_t number, uint8_t *memory, int64_t stride) {
  Tile &tile = used(number);
  for (unsigned row = 0; row < tile.rows; ++row)
    copy(memory + row * stride, tile.data[row], tile.rowBytes);
}

void lfmc_test_tdpbssd(int8_t to, int8_t left, int8_t right) {
  Tile &c = used(to), &a = used(left), &b = used(right);
  if (to == left || to == right || left == right || c.rows != a.rows ||
      a.rowBytes != 4 * b.rows || c.rowBytes != b.rowBytes)
    __builtin_trap();
  for (unsigned m = 0; m < c.rows; ++m)
    for (unsigned n = 0; n < c.rowBytes / 4; ++n) {
      int32_t sum;
      __builtin_memcpy(&sum, c.data[m] + 4 * n, 4);
      for (unsigned k = 0; k < a.rowBytes; ++k)
        sum += int8_t(a.data[m][k]) * int8_t(b.data[k / 4][4 * n + k % 4]);
      __builtin_memcpy(c.data[m] + 4 * n, &sum, 4);
    }
}
}
