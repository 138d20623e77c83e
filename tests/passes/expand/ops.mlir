// RUN: lfmc-opt %s --lfmc-expand | FileCheck %s

// CHECK: #[[SLIDE:.*]] = affine_map<(d0, d1, d2) -> (d0 + d2, d1)>

// Nothing is left of lfm2, and nothing that needs a math library.
// CHECK-NOT: lfm2.
// CHECK-NOT: math.{{(exp|sin|cos|rsqrt|pow|log|tanh)}}

// CHECK-LABEL: func.func @embed
func.func @embed(%tokens: tensor<?xi32>, %table: tensor<16x4xf32>) -> tensor<?x4xf32> {
  // CHECK: linalg.generic
  // CHECK: arith.index_cast
  // CHECK: tensor.extract
  %0 = lfm2.embed %tokens, %table : (tensor<?xi32>, tensor<16x4xf32>) -> tensor<?x4xf32>
  return %0 : tensor<?x4xf32>
}

// CHECK-LABEL: func.func @rms_norm
func.func @rms_norm(%x: tensor<?x8xf32>, %g: tensor<4xf32>) -> tensor<?x8xf32> {
  // CHECK: tensor.expand_shape {{.*}} into tensor<?x2x4xf32>
  // CHECK: math.sqrt
  // CHECK: tensor.collapse_shape
  %0 = lfm2.rms_norm %x, %g eps 1.0e-05 : tensor<?x8xf32>, tensor<4xf32>
  return %0 : tensor<?x8xf32>
}

// The taps slide over state and tokens.
// CHECK-LABEL: func.func @short_conv
func.func @short_conv(%x: tensor<?x4xf32>, %w: tensor<4x3xf32>, %s: tensor<2x4xf32>)
    -> (tensor<?x4xf32>, tensor<2x4xf32>) {
  // CHECK: tensor.insert_slice %{{.*}} into %{{.*}}[0, 0] [2, 4]
  // CHECK: tensor.insert_slice %{{.*}} into %{{.*}}[2, 0]
  // CHECK: linalg.generic {indexing_maps = [#[[SLIDE]],
  // CHECK: tensor.extract_slice %{{.*}}[%{{.*}}, 0] [2, 4] [1, 1] : tensor<?x4xf32> to tensor<2x4xf32>
  %0, %1 = lfm2.short_conv %x, %w, %s
      : (tensor<?x4xf32>, tensor<4x3xf32>, tensor<2x4xf32>) -> (tensor<?x4xf32>, tensor<2x4xf32>)
  return %0, %1 : tensor<?x4xf32>, tensor<2x4xf32>
}

// CHECK-LABEL: func.func @cache
func.func @cache(%x: tensor<?x8xf32>, %c: tensor<16x2x4xf16>, %pos: index) -> tensor<16x2x4xf16> {
  // CHECK: arith.truncf %{{.*}} : f32 to f16
  // CHECK: tensor.insert_slice %{{.*}} into %{{.*}}[%{{.*}}, 0, 0] [%{{.*}}, 2, 4]
  %0 = lfm2.cache_write %x into %c at %pos : tensor<?x8xf32>, tensor<16x2x4xf16>
  return %0 : tensor<16x2x4xf16>
}

// CHECK-LABEL: func.func @attention
func.func @attention(%q: tensor<?x8xf32>, %c: tensor<16x1x4xf16>, %pos: index) -> tensor<?x8xf32> {
  // CHECK: scf.for
  // CHECK: arith.maxsi
  // CHECK: tensor.extract_slice %{{.*}}[%{{.*}}, 0, 0] [%{{.*}}, 1, 4] [1, 1, 1] : tensor<16x1x4xf16> to tensor<?x1x4xf16>
  // CHECK: arith.maximumf
  // CHECK: scf.yield
  %0 = lfm2.attention %q, %c, %c at %pos scale 0.5 window 3 : tensor<?x8xf32>, tensor<16x1x4xf16>, tensor<16x1x4xf16>
  return %0 : tensor<?x8xf32>
}
