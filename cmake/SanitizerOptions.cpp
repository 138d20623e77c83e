// SPDX-License-Identifier: Apache-2.0
//
// Linked into every program of a sanitizer build. LLVM's allocators poison their
// free memory in code that AddressSanitizer compiled; the system's libMLIR was
// compiled without and never lifts the poison, so that its use of the same
// memory would count as an error.
extern "C" const char *__asan_default_options() {
  return "allow_user_poisoning=0";
}
