// RUN: lfmc-opt %s --lfmc-stack-linears --split-input-file | FileCheck %s

// Each module has two linears that must stay two.
// CHECK-NOT: tensor.extract_slice

// Another reader of one of the weights.
!w = tensor<64x64xf32, #lfm2.stored<f32>>
lfm2.weight @a : !w = #lfm2.source<"a">
lfm2.weight @b : !w = #lfm2.source<"b">
// CHECK-LABEL: func.func @tied_embedding
// CHECK-COUNT-2: lfm2.linear
func.func @tied_embedding(%t: tensor<1xi32>) -> (tensor<1x64xf32>, tensor<1x64xf32>) {
  %a = lfm2.param @a : !w
  %b = lfm2.param @b : !w
  %x = lfm2.embed %t, %a : (tensor<1xi32>, !w) -> tensor<1x64xf32>
  %y = lfm2.linear %x, %a : (tensor<1x64xf32>, !w) -> tensor<1x64xf32>
  %z = lfm2.linear %x, %b : (tensor<1x64xf32>, !w) -> tensor<1x64xf32>
  return %y, %z : tensor<1x64xf32>, tensor<1x64xf32>
}

// -----

!w = tensor<64x64xf32, #lfm2.stored<f32>>
!h = tensor<64x64xf32, #lfm2.stored<f16>>
lfm2.weight @a : !w = #lfm2.source<"a">
lfm2.weight @b : !h = #lfm2.source<"b">
// CHECK-LABEL: func.func @stored_differently
// CHECK-COUNT-2: lfm2.linear
func.func @stored_differently(%x: tensor<1x64xf32>) -> (tensor<1x64xf32>, tensor<1x64xf32>) {
  %a = lfm2.param @a : !w
  %b = lfm2.param @b : !h
  %y = lfm2.linear %x, %a : (tensor<1x64xf32>, !w) -> tensor<1x64xf32>
  %z = lfm2.linear %x, %b : (tensor<1x64xf32>, !h) -> tensor<1x64xf32>
  return %y, %z : tensor<1x64xf32>, tensor<1x64xf32>
}

// -----

!w = tensor<64x64xf32, #lfm2.stored<f32>>
lfm2.weight @a : !w = #lfm2.source<"a">
lfm2.weight @b : !w = #lfm2.source<"b">
// CHECK-LABEL: func.func @same_weight_twice
// CHECK-COUNT-2: lfm2.linear
func.func @same_weight_twice(%x: tensor<1x64xf32>) -> (tensor<1x64xf32>, tensor<1x64xf32>) {
  %a = lfm2.param @a : !w
  %y = lfm2.linear %x, %a : (tensor<1x64xf32>, !w) -> tensor<1x64xf32>
  %z = lfm2.linear %x, %a : (tensor<1x64xf32>, !w) -> tensor<1x64xf32>
  return %y, %z : tensor<1x64xf32>, tensor<1x64xf32>
}

// -----

!w = tensor<64x64xf32, #lfm2.stored<f32>>
lfm2.weight @a : !w = #lfm2.source<"a">
lfm2.weight @b : !w = #lfm2.source<"b">
// CHECK-LABEL: func.func @together
// CHECK-COUNT-2: lfm2.linear
func.func @together(%x: tensor<1x64xf32>) -> (tensor<1x64xf32>, tensor<1x64xf32>) {
  %a = lfm2.param @a : !w
  %b = lfm2.param @b : !w
  %y = lfm2.linear %x, %a : (tensor<1x64xf32>, !w) -> tensor<1x64xf32>
  %z = lfm2.linear %x, %b : (tensor<1x64xf32>, !w) -> tensor<1x64xf32>
  return %y, %z : tensor<1x64xf32>, tensor<1x64xf32>
}
// CHECK-LABEL: func.func @apart
// CHECK-COUNT-2: lfm2.linear
func.func @apart(%x: tensor<1x64xf32>) -> tensor<1x64xf32> {
  %a = lfm2.param @a : !w
  %b = lfm2.param @b : !w
  %y = lfm2.linear %x, %a : (tensor<1x64xf32>, !w) -> tensor<1x64xf32>
  %z = lfm2.linear %y, %b : (tensor<1x64xf32>, !w) -> tensor<1x64xf32>
  return %z : tensor<1x64xf32>
}

// -----

!w = tensor<64x64xf32, #lfm2.stored<f32, <rows = 8, depth = 1>>>
lfm2.weight @a : !w = #lfm2.source<"a">
lfm2.weight @b : !w = #lfm2.source<"b">
// CHECK-LABEL: func.func @has_layout
// CHECK-COUNT-2: lfm2.linear
func.func @has_layout(%x: tensor<1x64xf32>) -> (tensor<1x64xf32>, tensor<1x64xf32>) {
  %a = lfm2.param @a : !w
  %b = lfm2.param @b : !w
  %y = lfm2.linear %x, %a : (tensor<1x64xf32>, !w) -> tensor<1x64xf32>
  %z = lfm2.linear %x, %b : (tensor<1x64xf32>, !w) -> tensor<1x64xf32>
  return %y, %z : tensor<1x64xf32>, tensor<1x64xf32>
}

// -----

!w = tensor<64x64xf32, #lfm2.stored<f32>>
lfm2.weight @a : !w = #lfm2.source<"a">
lfm2.weight @b : !w = #lfm2.source<"b">
// CHECK-LABEL: func.func @has_residual
// CHECK-COUNT-2: lfm2.linear
func.func @has_residual(%x: tensor<1x64xf32>) -> (tensor<1x64xf32>, tensor<1x64xf32>) {
  %a = lfm2.param @a : !w
  %b = lfm2.param @b : !w
  %y = lfm2.linear %x, %a residual(%x) : (tensor<1x64xf32>, !w, tensor<1x64xf32>) -> tensor<1x64xf32>
  %z = lfm2.linear %x, %b : (tensor<1x64xf32>, !w) -> tensor<1x64xf32>
  return %y, %z : tensor<1x64xf32>, tensor<1x64xf32>
}
