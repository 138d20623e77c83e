// RUN: lfmc-opt %s --lfmc-assign-offsets | FileCheck %s

// Weights start after the header of 16 KiB, states at 0; all at multiples of 128.
// CHECK: module attributes {lfm2.state_bytes = 256 : i64, lfm2.weights_bytes = 16768 : i64}
// CHECK: lfm2.weight @a : {{.*}} at 16384
lfm2.weight @a : tensor<5x3xf32, #lfm2.stored<bf16>> = #lfm2.source<"a">
// CHECK: lfm2.weight @b : {{.*}} at 16512
lfm2.weight @b : tensor<50xf32, #lfm2.stored<f32>> = #lfm2.source<"b">
// CHECK: lfm2.state @s : {{.*}} at 0
lfm2.state @s : tensor<2x16xf32>
// CHECK: lfm2.state @t per_token : {{.*}} at 128
lfm2.state @t per_token : tensor<4x1x4xf16>
