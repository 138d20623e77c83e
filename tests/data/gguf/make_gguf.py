#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the GGUF files of the tests through the reference writer, the PyPI
package `gguf` (0.19.0 made what is committed; needs numpy, too).

usage: make_gguf.py [DIRECTORY]     (default: the directory of this script)

  blocks.gguf     one tensor TYPE of each block type, and TYPE.f32: its values as
                  gguf's own dequantization gives them
  mini.gguf       a random model of two layers with the names and metadata of
                  llama.cpp's converter, and mini/, the same as safetensors
  tokenizer.gguf  the tokenizer of ../tokenizer/small, no tensors
"""
import json
import struct
import sys
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type

HERE = Path(__file__).parent
TOKENIZER = HERE.parent / "tokenizer" / "small"


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def half(value):
    return np.float16(value).tobytes()


def random_blocks(rng, kind, count):
    """Blocks of the types that `gguf` reads but does not write: random codes and
    scales with all their bits in use, factors of a usual size."""
    block = b""
    for _ in range(count):
        factor, least = half(rng.normal(0, 0.01)), half(rng.uniform(0, 0.02))
        if kind == Type.Q6_K:
            block += rng.bytes(128 + 64 + 16) + factor
        else:
            codes = 128 if kind == Type.Q4_K else 128 + 32
            block += factor + least + rng.bytes(12 + codes)
    return np.frombuffer(block, np.uint8).reshape(2, -1)


def write_blocks(path):
    rng = np.random.default_rng(1)
    writer = gguf.GGUFWriter(path, "none")
    for kind in (Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q8_0):
        values = rng.normal(0, 1, (2, 64)).astype(np.float32)
        values[1, :32] = 0  # a block without a scale
        data = gguf.quantize(values, kind)
        writer.add_tensor(kind.name, data, raw_dtype=kind)
        writer.add_tensor(kind.name + ".f32", gguf.dequantize(data, kind))
    for kind in (Type.Q4_K, Type.Q5_K, Type.Q6_K):
        data = random_blocks(rng, kind, 4)
        writer.add_tensor(kind.name, data, raw_dtype=kind)
        writer.add_tensor(kind.name + ".f32", gguf.dequantize(data, kind))
    finish(writer)


def mini_tensors(rng, config):
    """Name in a Hugging Face checkpoint -> f32 values."""
    h, f, v = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    head = h // config["num_attention_heads"]
    kv = config["num_key_value_heads"] * head
    shapes = {"model.embed_tokens.weight": (v, h), "model.embedding_norm.weight": (h,)}
    for i, kind in enumerate(config["layer_types"]):
        base = f"model.layers.{i}."
        if kind == "conv":
            shapes |= {base + "conv.in_proj.weight": (3 * h, h),
                       base + "conv.conv.weight": (h, 1, config["conv_L_cache"]),
                       base + "conv.out_proj.weight": (h, h)}
        else:
            shapes |= {base + "self_attn.q_proj.weight": (h, h),
                       base + "self_attn.k_proj.weight": (kv, h),
                       base + "self_attn.v_proj.weight": (kv, h),
                       base + "self_attn.out_proj.weight": (h, h),
                       base + "self_attn.q_layernorm.weight": (head,),
                       base + "self_attn.k_layernorm.weight": (head,)}
        shapes |= {base + "operator_norm.weight": (h,), base + "ffn_norm.weight": (h,),
                   base + "feed_forward.w1.weight": (f, h),
                   base + "feed_forward.w3.weight": (f, h),
                   base + "feed_forward.w2.weight": (h, f)}
    return {name: rng.normal(0, 1, shape).astype(np.float32)
            for name, shape in shapes.items()}


def write_safetensors(path, tensors):
    header, offset = {}, 0
    for name, values in tensors.items():
        header[name] = {"dtype": "F32", "shape": values.shape,
                        "data_offsets": [offset, offset + values.nbytes]}
        offset += values.nbytes
    text = json.dumps(header).encode()
    data = b"".join(values.tobytes() for values in tensors.values())
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def write_mini(path, directory):
    config = {
        "model_type": "lfm2", "architectures": ["Lfm2ForCausalLM"],
        "vocab_size": 48, "hidden_size": 32, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2,
        "layer_types": ["conv", "full_attention"], "conv_L_cache": 3,
        "conv_bias": False, "intermediate_size": 64, "norm_eps": 1e-5,
        "block_auto_adjust_ff_dim": False, "rope_theta": 1000000.0,
        "max_position_embeddings": 512, "tie_word_embeddings": True,
        "bos_token_id": 1, "eos_token_id": 7, "pad_token_id": 0}
    generation = {"temperature": 0.3, "min_p": 0.15, "repetition_penalty": 1.05}
    tensors = mini_tensors(np.random.default_rng(2), config)
    directory.mkdir(exist_ok=True)
    (directory / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    (directory / "generation_config.json").write_text(json.dumps(generation) + "\n")
    write_safetensors(directory / "model.safetensors", tensors)

    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[gguf.MODEL_ARCH.LFM2])
    writer.add_name("mini")
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv([0, config["num_key_value_heads"]])
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_layer_norm_rms_eps(config["norm_eps"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_shortconv_l_cache(config["conv_L_cache"])
    writer.add_float32(gguf.Keys.General.SAMPLING_TEMP, generation["temperature"])
    writer.add_float32(gguf.Keys.General.SAMPLING_MIN_P, generation["min_p"])
    writer.add_float32(gguf.Keys.General.SAMPLING_PENALTY_REPEAT,
                       generation["repetition_penalty"])
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_pad_token_id(config["pad_token_id"])
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LFM2, config["num_hidden_layers"])
    for name, values in tensors.items():
        if "conv.conv" in name:
            values = values.squeeze(1)
        writer.add_tensor(names.get_name(name, try_suffixes=(".weight",)), values)
    finish(writer)


def write_tokenizer(path):
    tokenizer = json.loads((TOKENIZER / "tokenizer.json").read_text())
    spelling = {i: text for text, i in tokenizer["model"]["vocab"].items()}
    special = {t["id"] for t in tokenizer["added_tokens"] if t["special"]}
    spelling |= {t["id"]: t["content"] for t in tokenizer["added_tokens"]}
    tokens = [spelling[i] for i in range(len(spelling))]
    tokens.append(f"[PAD{len(tokens)}]")  # as the converter fills up the vocabulary
    kinds = [gguf.TokenType.CONTROL if i in special else gguf.TokenType.NORMAL
             for i in range(len(tokens))]
    kinds[-1] = gguf.TokenType.UNUSED
    merges = [m if isinstance(m, str) else " ".join(m)
              for m in tokenizer["model"]["merges"]]
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[gguf.MODEL_ARCH.LFM2])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("lfm2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(7)
    writer.add_pad_token_id(0)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_chat_template((TOKENIZER / "chat_template.jinja").read_text())
    finish(writer)


def main():
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
    target.mkdir(parents=True, exist_ok=True)
    write_blocks(target / "blocks.gguf")
    write_mini(target / "mini.gguf", target / "mini")
    write_tokenizer(target / "tokenizer.gguf")


if __name__ == "__main__":
    main()
