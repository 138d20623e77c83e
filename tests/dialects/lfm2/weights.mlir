// RUN: lfmc-opt %s | lfmc-opt | FileCheck %s
// RUN: lfmc-opt %s --emit-bytecode | lfmc-opt | FileCheck %s

// CHECK: lfm2.weight @l0.in_proj : tensor<6144x2048xf32, #lfm2.stored<bf16>> = #lfm2.source<"model.layers.0.conv.in_proj.weight">
lfm2.weight @l0.in_proj : tensor<6144x2048xf32, #lfm2.stored<bf16>>
    = #lfm2.source<"model.layers.0.conv.in_proj.weight">

// CHECK: lfm2.weight @l0.w13 : tensor<9216x1024xf32, #lfm2.stored<f16>> = #lfm2.source<"model.layers.0.feed_forward.w1.weight", "model.layers.0.feed_forward.w3.weight"> at 16384
lfm2.weight @l0.w13 : tensor<9216x1024xf32, #lfm2.stored<f16>>
    = #lfm2.source<"model.layers.0.feed_forward.w1.weight",
                   "model.layers.0.feed_forward.w3.weight"> at 16384

// CHECK: lfm2.weight @rope : tensor<4096x64xf32, #lfm2.stored<f32>> = #lfm2.rope_table<<theta = 1.000000e+06 : f64, dim = 64>>
lfm2.weight @rope : tensor<4096x64xf32, #lfm2.stored<f32>>
    = #lfm2.rope_table<<theta = 1.0e+06 : f64, dim = 64>>

// Factors of rows and columns.
// CHECK: lfm2.weight @norm : tensor<2xf32, #lfm2.stored<f32>> = #lfm2.source<"g"> {lfm2.row_factors = array<f32: 2.000000e+00, 5.000000e-01>}
lfm2.weight @norm : tensor<2xf32, #lfm2.stored<f32>> = #lfm2.source<"g">
    {lfm2.row_factors = array<f32: 2.0, 0.5>}

// Panel layouts, and every stored kind.
// CHECK-LABEL: func.func private @types
// CHECK-SAME: tensor<6144x2048xf32, #lfm2.stored<bf16, <rows = 64, depth = 2>>>
// CHECK-SAME: tensor<64x8xf32, #lfm2.stored<f16, <rows = 16, depth = 1, halves = true>>>
// CHECK-SAME: tensor<64x32xf32, #lfm2.stored<q8 block 32, <rows = 64, depth = 4, raised = true>>>
// CHECK-SAME: tensor<64xf32, #lfm2.stored<f32>>
func.func private @types(tensor<6144x2048xf32, #lfm2.stored<bf16, <rows = 64, depth = 2>>>,
                         tensor<64x8xf32, #lfm2.stored<f16, <rows = 16, depth = 1, halves = true>>>,
                         tensor<64x32xf32, #lfm2.stored<q8 block 32, <rows = 64, depth = 4, raised = true>>>,
                         tensor<64xf32, #lfm2.stored<f32>>)
