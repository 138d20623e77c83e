// REQUIRES: lfmc-run
// A module written by hand runs without a checkpoint if it has no weights.
// RUN: lfmc-run %s --tokens 0,3,1 | FileCheck %s
// RUN: lfmc-run %s --tokens 0,3,1 --function decode | FileCheck %s
// CHECK: 0: 0 (1.0000)
// CHECK: 1: 3 (1.0000)
// CHECK: 2: 1 (1.0000)

lfm2.state @sum : tensor<1x4xf32>

func.func @decode(%t: tensor<1xi32>, %pos: index, %s: tensor<1x4xf32> {lfm2.state = @sum})
    -> (tensor<1x4xf32>, tensor<1x4xf32> {lfm2.state = @sum}) {
  %eye = arith.constant dense<[[1., 0., 0., 0.], [0., 1., 0., 0.], [0., 0., 1., 0.], [0., 0., 0., 1.]]> : tensor<4x4xf32>
  %x = lfm2.embed %t, %eye : (tensor<1xi32>, tensor<4x4xf32>) -> tensor<1x4xf32>
  %s1 = arith.addf %s, %x : tensor<1x4xf32>
  return %x, %s1 : tensor<1x4xf32>, tensor<1x4xf32>
}

func.func @prefill(%t: tensor<?xi32>, %pos: index, %s: tensor<1x4xf32> {lfm2.state = @sum})
    -> (tensor<?x4xf32>, tensor<1x4xf32> {lfm2.state = @sum}) {
  %eye = arith.constant dense<[[1., 0., 0., 0.], [0., 1., 0., 0.], [0., 0., 1., 0.], [0., 0., 0., 1.]]> : tensor<4x4xf32>
  %x = lfm2.embed %t, %eye : (tensor<?xi32>, tensor<4x4xf32>) -> tensor<?x4xf32>
  return %x, %s : tensor<?x4xf32>, tensor<1x4xf32>
}

func.func @head(%x: tensor<?x4xf32>) -> tensor<?x4xf32> {
  return %x : tensor<?x4xf32>
}
