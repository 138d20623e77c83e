// SPDX-License-Identifier: Apache-2.0
//
// The little that the runtime needs instead of the C++ library: messages, a
// growing array, and memory from the system.
#ifndef LFM_SRC_SUPPORT_H
#define LFM_SRC_SUPPORT_H

#include "lfm/status.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>

namespace lfm_rt {

/// Where the text of an error goes; may be empty.
struct Message {
  char *text = nullptr;
  size_t bytes = 0;

  /// Writes the text and returns `status`, for `return message.fail(...)`.
  lfm_status fail(lfm_status status, const char *format, ...) const
      __attribute__((format(printf, 3, 4)));
};

/// A growing array of a trivial type on the heap; contents are kept.
template <typename T>
class Buffer {
public:
  Buffer() = default;
  Buffer(const Buffer &) = delete;
  Buffer &operator=(const Buffer &) = delete;
  ~Buffer() { std::free(items); }

  /// Makes room for `count` items; false if there is no memory.
  bool reserve(size_t count) {
    if (count <= space)
      return true;
    size_t wanted = count > space * 2 ? count : space * 2;
    if (wanted > SIZE_MAX / sizeof(T))
      return false;
    void *grown = std::realloc(items, wanted * sizeof(T));
    if (!grown)
      return false;
    items = static_cast<T *>(grown);
    space = wanted;
    return true;
  }

  T *data() { return items; }
  T &operator[](size_t i) { return items[i]; }
  size_t capacity() const { return space; }

private:
  T *items = nullptr;
  size_t space = 0;
};

constexpr size_t alignUp(size_t value, size_t alignment) {
  return (value + alignment - 1) / alignment * alignment;
}

/// Zeroed pages from the system, made real when touched; null if refused.
void *mapMemory(size_t bytes);
void unmapMemory(void *memory, size_t bytes);

/// Makes `bytes` at `memory` zero again. Gives whole pages of large areas back
/// to the system; the area must be part of a mapMemory() block.
void zeroMemory(void *memory, size_t bytes);

/// Seconds on a clock that never goes back.
double now();

} // namespace lfm_rt

#endif // LFM_SRC_SUPPORT_H
