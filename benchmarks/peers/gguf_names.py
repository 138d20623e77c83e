# SPDX-License-Identifier: Apache-2.0
"""How llama.cpp calls the tensors of a checkpoint."""
import re

WHOLE = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.embedding_norm.weight": "token_embd_norm.weight",
    "lm_head.weight": "output.weight",
}
LAYER = {
    "operator_norm": "attn_norm",
    "ffn_norm": "ffn_norm",
    "conv.in_proj": "shortconv.in_proj",
    "conv.conv": "shortconv.conv",
    "conv.out_proj": "shortconv.out_proj",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.out_proj": "attn_output",
    "self_attn.q_layernorm": "attn_q_norm",
    "self_attn.k_layernorm": "attn_k_norm",
    "feed_forward.w1": "ffn_gate",
    "feed_forward.w2": "ffn_down",
    "feed_forward.w3": "ffn_up",
    "feed_forward.gate": "ffn_gate_inp",
}
# All experts of a layer are one tensor.
EXPERT = {"w1": "ffn_gate_exps", "w2": "ffn_down_exps", "w3": "ffn_up_exps"}


def expert_of(name: str) -> tuple[str, int] | None:
    """GGUF's name and the expert's number, if `name` is an expert's matrix."""
    match = re.fullmatch(r"model\.layers\.(\d+)\.feed_forward\.experts\.(\d+)\.(w\d)\.weight", name)
    return match and (f"blk.{match[1]}.{EXPERT[match[3]]}.weight", int(match[2]))


def tensor_name(name: str) -> str:
    """GGUF's name of the checkpoint's tensor `name`; KeyError if llama.cpp's
    lfm2 has none. Not for experts."""
    bias = re.fullmatch(r"model\.layers\.(\d+)\.feed_forward\.expert_bias", name)
    if bias:
        return f"blk.{bias[1]}.exp_probs_b.bias"
    match = re.fullmatch(r"model\.layers\.(\d+)\.(.+)\.weight", name)
    if match:
        return f"blk.{match[1]}.{LAYER[match[2]]}.weight"
    return WHOLE[name]
