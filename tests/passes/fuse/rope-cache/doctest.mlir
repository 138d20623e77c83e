// RUN: lfmc-opt %s --lfmc-fuse-rope-cache | FileCheck %s

!g = tensor<16xf32, #lfm2.stored<f32>>
!cache = tensor<128x2x16xf32>
#rope = #lfm2.rope<theta = 1.0e+06 : f64, dim = 16>
lfm2.weight @l2.q_norm : !g = #lfm2.source<"qn">
lfm2.weight @l2.k_norm : !g = #lfm2.source<"kn">

// CHECK-LABEL: func.func @attention(
// CHECK-SAME:      %[[Q:[a-z0-9]*]]: tensor<?x64xf32>, %[[K:[a-z0-9]*]]: tensor<?x32xf32>, %[[V:[a-z0-9]*]]: tensor<?x32xf32>, %[[KC:[a-z0-9]*]]: tensor<128x2x16xf32>, %[[VC:[a-z0-9]*]]: tensor<128x2x16xf32>, %[[POS:.*]]: index)
// CHECK:         %[[QN:.*]] = lfm2.param @l2.q_norm
// CHECK:         %[[KN:.*]] = lfm2.param @l2.k_norm
// CHECK:         %[[R:.*]], %[[K1:.*]], %[[V1:.*]] = lfm2.rope_cache %[[Q]], %[[K]], %[[V]] norm(%[[QN]], %[[KN]]) into %[[KC]], %[[VC]] at %[[POS]]
// CHECK:         %[[Y:.*]] = lfm2.attention %[[R]], %[[K1]], %[[V1]] at %[[POS]]
// CHECK:         return %[[Y]], %[[K1]], %[[V1]]
func.func @attention(%q: tensor<?x64xf32>, %k: tensor<?x32xf32>, %v: tensor<?x32xf32>,
                     %kc: !cache, %vc: !cache, %pos: index)
    -> (tensor<?x64xf32>, !cache, !cache) {
  %qg = lfm2.param @l2.q_norm : !g
  %kg = lfm2.param @l2.k_norm : !g
  %qn = lfm2.rms_norm %q, %qg eps 1.0e-05 : tensor<?x64xf32>, !g
  %kn = lfm2.rms_norm %k, %kg eps 1.0e-05 : tensor<?x32xf32>, !g
  %qr = lfm2.rope %qn at %pos head_dim 16 #rope : tensor<?x64xf32>
  %kr = lfm2.rope %kn at %pos head_dim 16 #rope : tensor<?x32xf32>
  %k1 = lfm2.cache_write %kr into %kc at %pos : tensor<?x32xf32>, !cache
  %v1 = lfm2.cache_write %v into %vc at %pos : tensor<?x32xf32>, !cache
  %y = lfm2.attention %qr, %k1, %v1 at %pos scale 0.25 : tensor<?x64xf32>, !cache, !cache
  return %y, %k1, %v1 : tensor<?x64xf32>, !cache, !cache
}
