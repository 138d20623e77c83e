// RUN: lfmc-opt %s "--lfmc-select-kernels=target=x86-64-v4 records=%S/Inputs/tuned.jsonl" | FileCheck %s
// RUN: not lfmc-opt %s "--lfmc-select-kernels=target=x86-64-v4 records=%S/Inputs/broken.jsonl" 2>&1 | FileCheck %s --check-prefix=BROKEN

// One record decides the layout and both kernels; that of @other has rows that
// its space does not know, and changes nothing.
// CHECK: lfm2.weight @w : tensor<128x64xf32, #lfm2.stored<bf16, <rows = 32, depth = 2>>>
// CHECK: lfm2.weight @other : tensor<64x64xf32, #lfm2.stored<bf16, <rows = 64, depth = 2>>>
lfm2.weight @w : tensor<128x64xf32, #lfm2.stored<bf16>> = #lfm2.source<"w">
lfm2.weight @other : tensor<64x64xf32, #lfm2.stored<bf16>> = #lfm2.source<"o">

// CHECK-DAG: kernel.decl @linear_bf16_n128_k64_t1_{{.*}} panels = 2 {{.*}} prefetch = 8192 {{.*}} rows = 32
// CHECK-DAG: kernel.decl @linear_bf16_n128_k64_t12_{{.*}} rows = 32
// CHECK-DAG: kernel.decl @linear_bf16_n64_k64_t1_{{.*}} rows = 64

// BROKEN: broken.jsonl:2: expected a tuning record

func.func @decode(%x: tensor<1x64xf32>) -> (tensor<1x128xf32>, tensor<1x64xf32>) {
  %w = lfm2.param @w : tensor<128x64xf32, #lfm2.stored<bf16>>
  %y = lfm2.linear %x, %w
      : (tensor<1x64xf32>, tensor<128x64xf32, #lfm2.stored<bf16>>) -> tensor<1x128xf32>
  %o = lfm2.param @other : tensor<64x64xf32, #lfm2.stored<bf16>>
  %z = lfm2.linear %x, %o
      : (tensor<1x64xf32>, tensor<64x64xf32, #lfm2.stored<bf16>>) -> tensor<1x64xf32>
  return %y, %z : tensor<1x128xf32>, tensor<1x64xf32>
}

func.func @prefill(%x: tensor<?x64xf32>) -> tensor<?x128xf32> {
  %w = lfm2.param @w : tensor<128x64xf32, #lfm2.stored<bf16>>
  %y = lfm2.linear %x, %w
      : (tensor<?x64xf32>, tensor<128x64xf32, #lfm2.stored<bf16>>) -> tensor<?x128xf32>
  return %y : tensor<?x128xf32>
}
