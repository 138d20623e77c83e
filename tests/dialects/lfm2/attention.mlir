// RUN: lfmc-opt %s | lfmc-opt | FileCheck %s
// RUN: lfmc-opt %s --mlir-print-op-generic | lfmc-opt | FileCheck %s

// CHECK: lfm2.state @l2.k per_token : tensor<4096x8x64xf32>
lfm2.state @l2.k per_token : tensor<4096x8x64xf32>
// CHECK: lfm2.state @l2.v per_token : tensor<4096x8x64xf32> layout <lanes = 16> at 64
lfm2.state @l2.v per_token : tensor<4096x8x64xf32> layout <lanes = 16> at 64
// CHECK: lfm2.state @l0.conv : tensor<2x2048xf32> at 4096
lfm2.state @l0.conv : tensor<2x2048xf32> at 4096

// CHECK-LABEL: func.func @rope
func.func @rope(%x: tensor<?x256xf32>, %pos: index) -> tensor<?x256xf32> {
  // CHECK: lfm2.rope %{{.*}} at %{{.*}} head_dim 64 <theta = 1.000000e+06 : f64, dim = 64> : tensor<?x256xf32>
  %0 = lfm2.rope %x at %pos head_dim 64 <theta = 1.0e+06 : f64, dim = 64> : tensor<?x256xf32>
  // CHECK: lfm2.rope %{{.*}} at %{{.*}} head_dim 64 <theta = 1.000000e+04 : f64, dim = 32, interleaved = true> : tensor<?x256xf32>
  %1 = lfm2.rope %0 at %pos head_dim 64 <theta = 1.0e+04 : f64, dim = 32, interleaved = true> : tensor<?x256xf32>
  return %1 : tensor<?x256xf32>
}

// CHECK-LABEL: func.func @cache_write
func.func @cache_write(%x: tensor<?x128xf32>, %c: tensor<32x2x64xf16>, %pos: index) -> tensor<32x2x64xf16> {
  // CHECK: lfm2.cache_write %{{.*}} into %{{.*}} at %{{.*}} : tensor<?x128xf32>, tensor<32x2x64xf16>
  %0 = lfm2.cache_write %x into %c at %pos : tensor<?x128xf32>, tensor<32x2x64xf16>
  return %0 : tensor<32x2x64xf16>
}

// CHECK-LABEL: func.func @rope_cache
func.func @rope_cache(%q: tensor<?x256xf32>, %k: tensor<?x128xf32>, %v: tensor<?x128xf32>,
                      %g: tensor<64xf32>, %kc: tensor<32x2x64xf32>, %vc: tensor<32x2x64xf32>,
                      %pos: index) -> (tensor<?x256xf32>, tensor<32x2x64xf32>, tensor<32x2x64xf32>) {
  // CHECK: lfm2.rope_cache %{{.*}}, %{{.*}}, %{{.*}} norm(%{{.*}}, %{{.*}}) into %{{.*}}, %{{.*}} at %{{.*}} eps 1.000000e-05 <theta = 1.000000e+06 : f64, dim = 64>
  %0:3 = lfm2.rope_cache %q, %k, %v norm(%g, %g) into %kc, %vc at %pos eps 1.0e-05 <theta = 1.0e+06 : f64, dim = 64>
      : (tensor<?x256xf32>, tensor<?x128xf32>, tensor<?x128xf32>, tensor<64xf32>, tensor<64xf32>, tensor<32x2x64xf32>, tensor<32x2x64xf32>, index)
      -> (tensor<?x256xf32>, tensor<32x2x64xf32>, tensor<32x2x64xf32>)
  return %0#0, %0#1, %0#2 : tensor<?x256xf32>, tensor<32x2x64xf32>, tensor<32x2x64xf32>
}

// CHECK-LABEL: func.func @attention
func.func @attention(%q: tensor<?x256xf32>, %k: tensor<32x2x64xf16>, %v: tensor<32x2x64xf16>,
                     %pos: index) -> tensor<?x256xf32> {
  // CHECK: lfm2.attention %{{.*}}, %{{.*}}, %{{.*}} at %{{.*}} scale 1.250000e-01 : tensor<?x256xf32>, tensor<32x2x64xf16>, tensor<32x2x64xf16>
  %0 = lfm2.attention %q, %k, %v at %pos scale 0.125 : tensor<?x256xf32>, tensor<32x2x64xf16>, tensor<32x2x64xf16>
  // CHECK: lfm2.attention %{{.*}}, %{{.*}}, %{{.*}} at %{{.*}} scale 1.250000e-01 window 16 :
  %1 = lfm2.attention %0, %k, %v at %pos scale 0.125 window 16 : tensor<?x256xf32>, tensor<32x2x64xf16>, tensor<32x2x64xf16>
  return %1 : tensor<?x256xf32>
}

// CHECK-LABEL: func.func @swiglu
func.func @swiglu(%a: tensor<?x64xf32>, %b: tensor<?x64xf32>) -> tensor<?x64xf32> {
  // CHECK: lfm2.swiglu %{{.*}}, %{{.*}} : tensor<?x64xf32>
  %0 = lfm2.swiglu %a, %b : tensor<?x64xf32>
  return %0 : tensor<?x64xf32>
}
