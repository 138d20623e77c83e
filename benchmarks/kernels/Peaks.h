// SPDX-License-Identifier: Apache-2.0
//
// What this machine can do at most, measured in the same run as the kernels.
#ifndef LFMC_BENCHMARKS_KERNELS_PEAKS_H
#define LFMC_BENCHMARKS_KERNELS_PEAKS_H

#include <cstddef>

namespace lfmc::halide::bench {

/// The x86-64 levels that the kernels are compiled for; V3Vnni and Vnni are V3
/// and V4 with 8-bit dot products, Amx has tiles besides.
enum class Level { V2, V3, V3Vnni, V4, Vnni, Amx };

/// What is multiplied: f32; pairs of bf16, added up in f32 (vdpbf16ps; Vnni and
/// Amx only); or 8-bit integers.
enum class Arithmetic { F32, Bf16, Int8 };

/// f32 operations per second of one thread: fused multiply-adds (v3, v4) or
/// separate multiplications and additions (v2) in registers. Best of several
/// short runs, by thread CPU time.
double flopPeak(Level level);

/// Products of 8-bit integers per second of one thread: tdpbssd of whole tiles
/// (Amx), vpdpbusd (V3Vnni, Vnni) or vpmaddubsw in the widest registers of
/// `level`, without the additions that follow the latter.
double productPeak(Level level);

/// What the peaks above are made of, for callers that measure on their own:
/// runs `rounds` rounds of twelve independent multiply-adds on this thread; a
/// round multiplies products() times twelve.
void runChains(Level level, Arithmetic arithmetic, long rounds);

/// Products of one instruction.
int products(Level level, Arithmetic arithmetic);

/// Bytes per second at which one thread reads `bytes` of memory, by thread CPU
/// time: best of several passes, sequential, with prefetch.
double readPeak(const void *data, size_t bytes);

/// CPU time of the calling thread in seconds.
double threadSeconds();

} // namespace lfmc::halide::bench

#endif // LFMC_BENCHMARKS_KERNELS_PEAKS_H
