// RUN: not lfmc-opt %s --lfmc-quantize=schemes=q3 2>&1 | FileCheck %s --check-prefix=KIND
// RUN: not lfmc-opt %s --lfmc-quantize=schemes=q4/48 2>&1 | FileCheck %s --check-prefix=BLOCK
// RUN: not lfmc-opt %s --lfmc-quantize=schemes=q4,conv=q8 2>&1 | FileCheck %s --check-prefix=UNUSED
// RUN: not lfmc-opt %s --lfmc-quantize=schemes=w[=q8 2>&1 | FileCheck %s --check-prefix=GLOB
// KIND: unknown quantization 'q3' in 'q3': expected q4, q4m, q6 or q8
// BLOCK: unknown quantization 'q4/48' in 'q4/48'
// UNUSED: 'conv=q8' matches no weight of a linear
// GLOB: bad pattern in 'w[=q8'
lfm2.weight @w : tensor<96x64xf32, #lfm2.stored<bf16>> = #lfm2.source<"w">
func.func @decode(%x: tensor<1x64xf32>) -> tensor<1x96xf32> {
  %w = lfm2.param @w : tensor<96x64xf32, #lfm2.stored<bf16>>
  %y = lfm2.linear %x, %w : (tensor<1x64xf32>, tensor<96x64xf32, #lfm2.stored<bf16>>) -> tensor<1x96xf32>
  return %y : tensor<1x96xf32>
}
