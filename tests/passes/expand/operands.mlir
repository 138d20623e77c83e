// RUN: lfmc-opt %s --lfmc-expand -split-input-file -verify-diagnostics | FileCheck %s

// An encoded argument becomes a plain one.
// CHECK-LABEL: func.func @encoded
// CHECK-SAME: (%{{.*}}: tensor<?x4xf32>, %{{.*}}: tensor<4xf32>, %{{.*}}: tensor<8x4xf32>)
func.func @encoded(%x: tensor<?x4xf32>, %g: tensor<4xf32, #lfm2.stored<f32>>,
                   %w: tensor<8x4xf32, #lfm2.stored<bf16, <rows = 8, depth = 2>>>) -> tensor<?x8xf32> {
  // CHECK-NOT: tensor.cast
  // CHECK-NOT: lfm2.
  // CHECK: return
  %0 = lfm2.linear %x, %w norm(%g) {eps = 1.0e-05 : f64}
      : (tensor<?x4xf32>, tensor<8x4xf32, #lfm2.stored<bf16, <rows = 8, depth = 2>>>, tensor<4xf32, #lfm2.stored<f32>>) -> tensor<?x8xf32>
  return %0 : tensor<?x8xf32>
}

// -----

// A weight widened from its memory is read in place, element by element.
// CHECK-LABEL: func.func @widened
// CHECK-SAME: , %[[W:[a-z0-9]+]]: tensor<8x4xbf16>
func.func @widened(%x: tensor<1x4xf32>, %w: tensor<8x4xbf16>) -> tensor<1x8xf32> {
  // CHECK-NOT: arith.extf %[[W]]
  // CHECK: linalg.generic
  // CHECK-SAME: ins(%{{.*}}, %[[W]] : tensor<1x4xf32>, tensor<8x4xbf16>)
  // CHECK: arith.extf %{{.*}} : bf16 to f32
  %0 = arith.extf %w : tensor<8x4xbf16> to tensor<8x4xf32>
  %1 = lfm2.linear %x, %0 : (tensor<1x4xf32>, tensor<8x4xf32>) -> tensor<1x8xf32>
  return %1 : tensor<1x8xf32>
}

// -----

// The output of a stored weight itself cannot be expanded.
// expected-note @+1 {{in function @escapes}}
func.func @escapes(%w: tensor<8x4xf32, #lfm2.stored<bf16>>) -> tensor<8x4xf32, #lfm2.stored<bf16>> {
  // expected-error @+1 {{expected only lfm2 ops to use a stored weight that is a function argument}}
  return %w : tensor<8x4xf32, #lfm2.stored<bf16>>
}

// -----

func.func private @external(tensor<8x4xf32, #lfm2.stored<bf16>>)
