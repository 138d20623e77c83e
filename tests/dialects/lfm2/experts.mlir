// RUN: lfmc-opt %s | lfmc-opt | FileCheck %s
// RUN: lfmc-opt %s --mlir-print-op-generic | lfmc-opt | FileCheck %s

// CHECK-LABEL: func.func @route
func.func @route(%l: tensor<?x32xf32>, %b: tensor<32xf32, #lfm2.stored<f32>>) -> (tensor<?x4xi32>, tensor<?x4xf32>) {
  // CHECK: lfm2.route %{{.*}} bias(%{{.*}}) top 4 normalize scaling 1.000000e+00 : (tensor<?x32xf32>, tensor<32xf32, #lfm2.stored<f32>>) -> (tensor<?x4xi32>, tensor<?x4xf32>)
  %e, %w = lfm2.route %l bias(%b) top 4 normalize scaling 1.0
      : (tensor<?x32xf32>, tensor<32xf32, #lfm2.stored<f32>>) -> (tensor<?x4xi32>, tensor<?x4xf32>)
  // CHECK: lfm2.route %{{.*}} top 2 scaling 2.500000e+00 : (tensor<?x32xf32>) -> (tensor<?x2xi32>, tensor<?x2xf32>)
  %e2, %w2 = lfm2.route %l top 2 scaling 2.5 : (tensor<?x32xf32>) -> (tensor<?x2xi32>, tensor<?x2xf32>)
  return %e, %w : tensor<?x4xi32>, tensor<?x4xf32>
}

// CHECK-LABEL: func.func @experts
func.func @experts(%x: tensor<?x64xf32>, %w13: tensor<3072x64xf32, #lfm2.stored<bf16>>,
                   %w2: tensor<2048x48xf32, #lfm2.stored<bf16>>, %e: tensor<?x4xi32>,
                   %s: tensor<?x4xf32>) -> tensor<?x64xf32> {
  // CHECK: lfm2.experts %{{.*}}, %{{.*}} of 32 chosen(%{{.*}}) scales(%{{.*}}) {activation = #lfm2.activation<swiglu>}
  %h = lfm2.experts %x, %w13 of 32 chosen(%e) scales(%s) {activation = #lfm2.activation<swiglu>}
      : (tensor<?x64xf32>, tensor<3072x64xf32, #lfm2.stored<bf16>>, tensor<?x4xi32>, tensor<?x4xf32>) -> tensor<?x192xf32>
  // CHECK: lfm2.experts %{{.*}}, %{{.*}} of 32 chosen(%{{.*}}) residual(%{{.*}}) :
  %y = lfm2.experts %h, %w2 of 32 chosen(%e) residual(%x)
      : (tensor<?x192xf32>, tensor<2048x48xf32, #lfm2.stored<bf16>>, tensor<?x4xi32>, tensor<?x64xf32>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}
