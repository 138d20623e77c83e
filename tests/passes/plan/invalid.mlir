// RUN: lfmc-opt %s --lfmc-assign-offsets --lfmc-plan-memory -split-input-file -verify-diagnostics

lfm2.state @s : tensor<2x64xf32>
kernel.decl @push "push" {} chunks <fixed = 1>
kernel.decl @read "read" {} chunks <fixed = 1>
func.func @stale(%x: tensor<1x64xf32>, %s: tensor<2x64xf32> {lfm2.state = @s})
    -> (tensor<1x64xf32>, tensor<2x64xf32> {lfm2.state = @s}) attributes {lfm2.max_tokens = 1 : i64} {
  %e = tensor.empty() : tensor<1x64xf32>
  // expected-note @+1 {{updated here}}
  %s1 = kernel.call @push ins(%x : tensor<1x64xf32>) outs(%s : tensor<2x64xf32>) -> tensor<2x64xf32>
  // expected-error @+1 {{reads a state that was updated before: this would need a copy of the state}}
  %y = kernel.call @read ins(%s : tensor<2x64xf32>) outs(%e : tensor<1x64xf32>) -> tensor<1x64xf32>
  return %y, %s1 : tensor<1x64xf32>, tensor<2x64xf32>
}

// -----

// expected-note @+1 {{state declared here}}
lfm2.state @s : tensor<2x64xf32>
kernel.decl @make "make" {} chunks <fixed = 1>
func.func @fresh(%x: tensor<1x64xf32>, %s: tensor<2x64xf32> {lfm2.state = @s})
    -> (tensor<1x64xf32>, tensor<2x64xf32> {lfm2.state = @s}) attributes {lfm2.max_tokens = 1 : i64} {
  %e = tensor.empty() : tensor<1x64xf32>
  %e2 = tensor.empty() : tensor<2x64xf32>
  // expected-note @+1 {{value from here}}
  %y, %s1 = kernel.call @make ins(%x : tensor<1x64xf32>) outs(%e, %e2 : tensor<1x64xf32>, tensor<2x64xf32>) -> tensor<1x64xf32>, tensor<2x64xf32>
  // expected-error @+1 {{returns as @s what is not the state updated in place}}
  return %y, %s1 : tensor<1x64xf32>, tensor<2x64xf32>
}

// -----

kernel.decl @make "make" {} chunks <fixed = 1>
// expected-error @+1 {{expected the attribute lfm2.max_tokens}}
func.func @unbounded(%x: tensor<1x64xf32>) -> tensor<1x64xf32> {
  %e = tensor.empty() : tensor<1x64xf32>
  %y = kernel.call @make ins(%x : tensor<1x64xf32>) outs(%e : tensor<1x64xf32>) -> tensor<1x64xf32>
  return %y : tensor<1x64xf32>
}

// -----

func.func @through(%x: tensor<1x64xf32>) -> tensor<1x64xf32> attributes {lfm2.max_tokens = 1 : i64} {
  // expected-error @+1 {{expected result 0 to be computed by a call}}
  return %x : tensor<1x64xf32>
}
