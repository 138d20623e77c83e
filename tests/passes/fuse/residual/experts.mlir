// RUN: lfmc-opt %s --lfmc-fuse-residual | FileCheck %s

// CHECK-LABEL: func.func @down
// CHECK: lfm2.experts %{{.*}}, %{{.*}} of 4 chosen(%{{.*}}) residual(%{{.*}}) :
// CHECK-NOT: arith.addf
func.func @down(%h: tensor<?x8xf32>, %w: tensor<12x4xf32>, %e: tensor<?x2xi32>, %r: tensor<?x3xf32>) -> tensor<?x3xf32> {
  %0 = lfm2.experts %h, %w of 4 chosen(%e) : (tensor<?x8xf32>, tensor<12x4xf32>, tensor<?x2xi32>) -> tensor<?x3xf32>
  %1 = arith.addf %r, %0 : tensor<?x3xf32>
  return %1 : tensor<?x3xf32>
}

// CHECK-LABEL: func.func @up
// CHECK: arith.addf
func.func @up(%x: tensor<?x4xf32>, %w: tensor<24x4xf32>, %e: tensor<?x2xi32>, %s: tensor<?x2xf32>, %r: tensor<?x6xf32>) -> tensor<?x6xf32> {
  %0 = lfm2.experts %x, %w of 4 chosen(%e) scales(%s) {activation = #lfm2.activation<swiglu>}
      : (tensor<?x4xf32>, tensor<24x4xf32>, tensor<?x2xi32>, tensor<?x2xf32>) -> tensor<?x6xf32>
  %1 = arith.addf %r, %0 : tensor<?x6xf32>
  return %1 : tensor<?x6xf32>
}
