// RUN: lfmc-opt %s --lfmc-fuse-rope-cache | FileCheck %s

// CHECK-NOT: lfm2.rope_cache

!g = tensor<16xf32, #lfm2.stored<f32>>
!q = tensor<?x64xf32>
!k = tensor<?x32xf32>
!cache = tensor<128x2x16xf32>
#rope = #lfm2.rope<theta = 1.0e+06 : f64, dim = 16>
#other = #lfm2.rope<theta = 1.0e+04 : f64, dim = 16>
lfm2.weight @g : !g = #lfm2.source<"g">

func.func @normalised_k_has_another_user(%q: !q, %k: !k, %v: !k, %kc: !cache, %vc: !cache, %pos: index)
    -> (!q, !k, !cache, !cache) {
  %g = lfm2.param @g : !g
  %qn = lfm2.rms_norm %q, %g eps 1.0e-05 : !q, !g
  %kn = lfm2.rms_norm %k, %g eps 1.0e-05 : !k, !g
  %qr = lfm2.rope %qn at %pos head_dim 16 #rope : !q
  %kr = lfm2.rope %kn at %pos head_dim 16 #rope : !k
  %k1 = lfm2.cache_write %kr into %kc at %pos : !k, !cache
  %v1 = lfm2.cache_write %v into %vc at %pos : !k, !cache
  %y = lfm2.attention %qr, %k1, %v1 at %pos scale 0.25 : !q, !cache, !cache
  return %y, %kn, %k1, %v1 : !q, !k, !cache, !cache
}

func.func @ropes_differ(%q: !q, %k: !k, %v: !k, %kc: !cache, %vc: !cache, %pos: index)
    -> (!q, !cache, !cache) {
  %g = lfm2.param @g : !g
  %qn = lfm2.rms_norm %q, %g eps 1.0e-05 : !q, !g
  %kn = lfm2.rms_norm %k, %g eps 1.0e-05 : !k, !g
  %qr = lfm2.rope %qn at %pos head_dim 16 #rope : !q
  %kr = lfm2.rope %kn at %pos head_dim 16 #other : !k
  %k1 = lfm2.cache_write %kr into %kc at %pos : !k, !cache
  %v1 = lfm2.cache_write %v into %vc at %pos : !k, !cache
  %y = lfm2.attention %qr, %k1, %v1 at %pos scale 0.25 : !q, !cache, !cache
  return %y, %k1, %v1 : !q, !cache, !cache
}

func.func @positions_differ(%q: !q, %k: !k, %v: !k, %kc: !cache, %vc: !cache, %pos: index, %other: index)
    -> (!q, !cache, !cache) {
  %g = lfm2.param @g : !g
  %qn = lfm2.rms_norm %q, %g eps 1.0e-05 : !q, !g
  %kn = lfm2.rms_norm %k, %g eps 1.0e-05 : !k, !g
  %qr = lfm2.rope %qn at %pos head_dim 16 #rope : !q
  %kr = lfm2.rope %kn at %pos head_dim 16 #rope : !k
  %k1 = lfm2.cache_write %kr into %kc at %pos : !k, !cache
  %v1 = lfm2.cache_write %v into %vc at %other : !k, !cache
  %y = lfm2.attention %qr, %k1, %v1 at %pos scale 0.25 : !q, !cache, !cache
  return %y, %k1, %v1 : !q, !cache, !cache
}

// q is normalised over the row, not per head.
func.func @norm_over_row(%q: !q, %k: !k, %v: !k, %kc: !cache, %vc: !cache, %pos: index,
    %gq: tensor<64xf32, #lfm2.stored<f32>>) -> (!q, !cache, !cache) {
  %g = lfm2.param @g : !g
  %qn = lfm2.rms_norm %q, %gq eps 1.0e-05 : !q, tensor<64xf32, #lfm2.stored<f32>>
  %kn = lfm2.rms_norm %k, %g eps 1.0e-05 : !k, !g
  %qr = lfm2.rope %qn at %pos head_dim 16 #rope : !q
  %kr = lfm2.rope %kn at %pos head_dim 16 #rope : !k
  %k1 = lfm2.cache_write %kr into %kc at %pos : !k, !cache
  %v1 = lfm2.cache_write %v into %vc at %pos : !k, !cache
  %y = lfm2.attention %qr, %k1, %v1 at %pos scale 0.25 : !q, !cache, !cache
  return %y, %k1, %v1 : !q, !cache, !cache
}

// The second attention stands between the parts of the first.
func.func @user_in_between(%q: !q, %k: !k, %v: !k, %kc: !cache, %vc: !cache, %pos: index)
    -> (!q, !q, !cache, !cache) {
  %g = lfm2.param @g : !g
  %qn = lfm2.rms_norm %q, %g eps 1.0e-05 : !q, !g
  %kn = lfm2.rms_norm %k, %g eps 1.0e-05 : !k, !g
  %qr = lfm2.rope %qn at %pos head_dim 16 #rope : !q
  %kr = lfm2.rope %kn at %pos head_dim 16 #rope : !k
  %k1 = lfm2.cache_write %kr into %kc at %pos : !k, !cache
  %z = lfm2.attention %q, %k1, %vc at %pos scale 0.25 : !q, !cache, !cache
  %v1 = lfm2.cache_write %v into %vc at %pos : !k, !cache
  %y = lfm2.attention %qr, %k1, %v1 at %pos scale 0.25 : !q, !cache, !cache
  return %y, %z, %k1, %v1 : !q, !q, !cache, !cache
}
