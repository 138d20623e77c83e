# SPDX-License-Identifier: Apache-2.0
"""Checkpoint to GGUF, as llama.cpp's own converter would write it, and on to
its quantized types by llama.cpp's own quantizer (so that the mix of types is
llama.cpp's). Runs in the llama_cpp environment.
usage: gguf_export.py CHECKPOINT OUT.gguf F32|BF16|Q4_0|Q4_K_M|Q8_0|..."""
import ctypes
import json
import sys
from pathlib import Path

import gguf
import numpy as np

import checkpoint
from gguf_names import expert_of, tensor_name

PLAIN = {"F32": gguf.GGMLQuantizationType.F32, "BF16": gguf.GGMLQuantizationType.BF16}


def add_metadata(writer: gguf.GGUFWriter, config: checkpoint.Config, file_type: str) -> None:
    writer.add_name("lfm2")
    writer.add_context_length(config.context)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(len(config.layers))
    writer.add_feed_forward_length(config.ffn_size)
    writer.add_head_count(config.heads)
    writer.add_head_count_kv(
        [config.kv_heads if layer == "full_attention" else 0 for layer in config.layers]
    )
    writer.add_key_length(config.head_size)
    writer.add_value_length(config.head_size)
    writer.add_rope_freq_base(config.rope_theta)
    writer.add_layer_norm_rms_eps(config.norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_shortconv_l_cache(config.conv_taps)
    if config.experts:
        writer.add_expert_count(config.experts)
        writer.add_expert_used_count(config.experts_per_token)
        writer.add_expert_feed_forward_length(config.expert_size)
        writer.add_leading_dense_block_count(config.dense_layers)
        writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32 if file_type == "F32" else gguf.LlamaFileType.MOSTLY_BF16)


def stored_vocabulary(path: Path, size: int) -> tuple[list[str], list[int], list[str]]:
    """Tokens, their types and the merges of a tokenizer.json."""
    tokenizer = json.loads(path.read_text())
    tokens = [f"[PAD{i}]" for i in range(size)]
    types = [gguf.TokenType.UNUSED] * size
    for token, index in tokenizer["model"]["vocab"].items():
        tokens[index], types[index] = token, gguf.TokenType.NORMAL
    for added in tokenizer["added_tokens"]:
        tokens[added["id"]] = added["content"]
        types[added["id"]] = (
            gguf.TokenType.CONTROL if added["special"] else gguf.TokenType.USER_DEFINED
        )
    merges = tokenizer["model"]["merges"]
    return tokens, types, [m if isinstance(m, str) else " ".join(m) for m in merges]


def invented_vocabulary(size: int) -> tuple[list[str], list[int], list[str]]:
    """Eight control tokens, the bytes, and pairs of bytes: for checkpoints
    without a tokenizer."""
    codes = [chr(b if chr(b).isprintable() and b != 32 else 256 + b) for b in range(256)]
    pairs = [(a, b) for a in codes for b in codes][: max(0, size - 264)]
    tokens = [f"<|control_{i}|>" for i in range(8)] + codes + [a + b for a, b in pairs]
    types = [gguf.TokenType.CONTROL] * 8 + [gguf.TokenType.NORMAL] * (len(tokens) - 8)
    return tokens[:size], types[:size], [f"{a} {b}" for a, b in pairs]


def add_tokenizer(writer: gguf.GGUFWriter, directory: Path, config: checkpoint.Config) -> None:
    path = directory / "tokenizer.json"
    known = path.exists()
    tokens, types, merges = (
        stored_vocabulary(path, config.vocab_size) if known else invented_vocabulary(config.vocab_size)
    )
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("lfm2")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(config.bos)
    writer.add_eos_token_id(config.eos)
    writer.add_pad_token_id(config.pad)
    writer.add_add_bos_token(True)


def add_tensor(writer: gguf.GGUFWriter, tensor: checkpoint.Tensor, wanted: str) -> None:
    """Matrices in the wanted format; vectors and convolution taps in F32, as
    llama.cpp wants them."""
    name = tensor_name(tensor.name)
    is_taps = name.endswith("shortconv.conv.weight")
    is_router = name.endswith("ffn_gate_inp.weight")
    if tensor.data.ndim < 2 or is_taps or is_router or wanted == "F32":
        values = tensor.float32()
        writer.add_tensor(name, values[:, 0, :].copy() if is_taps else values)
    elif tensor.dtype == "BF16":
        writer.add_tensor(name, np.asarray(tensor.data).view(np.uint8), raw_dtype=PLAIN["BF16"])
    else:
        packed = gguf.quants.quantize(tensor.float32(), PLAIN["BF16"])
        writer.add_tensor(name, packed, raw_dtype=PLAIN["BF16"])


def add_experts(writer: gguf.GGUFWriter, name: str, parts: list[checkpoint.Tensor], wanted: str) -> None:
    if wanted == "F32":
        writer.add_tensor(name, np.stack([part.float32() for part in parts]))
        return
    if any(part.dtype != "BF16" for part in parts):
        raise ValueError(f"{name}: expected experts in BF16")
    writer.add_tensor(name, np.stack([part.data for part in parts]).view(np.uint8), raw_dtype=PLAIN["BF16"])


def write_plain(directory: Path, out: Path, file_type: str) -> None:
    config = checkpoint.read_config(directory)
    writer = gguf.GGUFWriter(str(out), "lfm2moe" if config.experts else "lfm2")
    add_metadata(writer, config, file_type)
    add_tokenizer(writer, directory, config)
    experts: dict[str, list[checkpoint.Tensor | None]] = {}
    for tensor in checkpoint.tensors(directory):
        expert = expert_of(tensor.name)
        if expert is None:
            add_tensor(writer, tensor, file_type)
        else:
            experts.setdefault(expert[0], [None] * config.experts)[expert[1]] = tensor
    for name, parts in experts.items():
        add_experts(writer, name, parts, file_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def quantize(plain: Path, out: Path, file_type: str) -> None:
    import llama_cpp

    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{file_type}")
    status = llama_cpp.llama_model_quantize(
        str(plain).encode(), str(out).encode(), ctypes.byref(params)
    )
    if status != 0:
        raise RuntimeError(f"llama.cpp cannot quantize {plain} to {file_type}: {status}")


def main() -> None:
    directory, out, file_type = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    if file_type in PLAIN:
        write_plain(directory, out, file_type)
        return
    plain = out.with_suffix(".plain")
    write_plain(directory, plain, "BF16")
    quantize(plain, out, file_type)
    plain.unlink()


if __name__ == "__main__":
    main()
