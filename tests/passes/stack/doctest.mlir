// RUN: lfmc-opt %s --lfmc-stack-linears | FileCheck %s

// CHECK: lfm2.weight @l2.qkv : tensor<128x64xf32, #lfm2.stored<bf16>> = #lfm2.source<"q", "k", "v">
// CHECK-NOT: lfm2.weight
lfm2.weight @l2.q : tensor<64x64xf32, #lfm2.stored<bf16>> = #lfm2.source<"q">
lfm2.weight @l2.k : tensor<32x64xf32, #lfm2.stored<bf16>> = #lfm2.source<"k">
lfm2.weight @l2.v : tensor<32x64xf32, #lfm2.stored<bf16>> = #lfm2.source<"v">

// CHECK-LABEL: func.func @prefill(
// CHECK-SAME:      %[[X:.*]]: tensor<?x64xf32>
// CHECK:         %[[W:.*]] = lfm2.param @l2.qkv
// CHECK:         %[[QKV:.*]] = lfm2.linear %[[X]], %[[W]] {{.*}} -> tensor<?x128xf32>
// CHECK:         %[[N:.*]] = tensor.dim %[[X]], %{{.*}}
// CHECK:         %[[Q:.*]] = tensor.extract_slice %[[QKV]][0, 0] [%[[N]], 64] [1, 1]
// CHECK:         %[[K:.*]] = tensor.extract_slice %[[QKV]][0, 64] [%[[N]], 32] [1, 1]
// CHECK:         %[[V:.*]] = tensor.extract_slice %[[QKV]][0, 96] [%[[N]], 32] [1, 1]
// CHECK:         return %[[Q]], %[[K]], %[[V]]
func.func @prefill(%x: tensor<?x64xf32>) -> (tensor<?x64xf32>, tensor<?x32xf32>, tensor<?x32xf32>) {
  %wq = lfm2.param @l2.q : tensor<64x64xf32, #lfm2.stored<bf16>>
  %wk = lfm2.param @l2.k : tensor<32x64xf32, #lfm2.stored<bf16>>
  %wv = lfm2.param @l2.v : tensor<32x64xf32, #lfm2.stored<bf16>>
  %q = lfm2.linear %x, %wq : (tensor<?x64xf32>, tensor<64x64xf32, #lfm2.stored<bf16>>) -> tensor<?x64xf32>
  %k = lfm2.linear %x, %wk : (tensor<?x64xf32>, tensor<32x64xf32, #lfm2.stored<bf16>>) -> tensor<?x32xf32>
  %v = lfm2.linear %x, %wv : (tensor<?x64xf32>, tensor<32x64xf32, #lfm2.stored<bf16>>) -> tensor<?x32xf32>
  return %q, %k, %v : tensor<?x64xf32>, tensor<?x32xf32>, tensor<?x32xf32>
}
