# SPDX-License-Identifier: Apache-2.0
"""Reading a checkpoint directory: config.json, *.safetensors, tokenizer.json.

Tensors keep their stored format: numpy has no bfloat16, such tensors come as
uint16 with `dtype` "BF16". Needs numpy."""
import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator

import numpy as np

STORED = {"F32": np.float32, "F16": np.float16, "BF16": np.uint16}


@dataclass
class Tensor:
    name: str
    dtype: str  # as in the file: F32, F16 or BF16
    data: np.ndarray  # mapped; BF16 as uint16

    def float32(self) -> np.ndarray:
        if self.dtype == "BF16":
            return (self.data.astype(np.uint32) << 16).view(np.float32)
        return self.data.astype(np.float32)


@dataclass
class Config:
    """The numbers that the peers' formats want, whatever config.json calls
    them. `ffn_size` is the width of the matrices (config.json may hold one that
    is still to be adjusted)."""

    hidden_size: int
    layers: list[str]  # "conv" or "full_attention"
    heads: int
    kv_heads: int
    head_size: int
    ffn_size: int
    vocab_size: int
    conv_taps: int
    context: int
    norm_eps: float
    rope_theta: float
    bos: int
    eos: int
    pad: int
    experts: int = 0  # of a layer; 0: dense
    experts_per_token: int = 0
    expert_size: int = 0
    dense_layers: int = 0


def tensors(directory: Path) -> Iterator[Tensor]:
    """Every tensor of every *.safetensors file, file by file."""
    for path in sorted(directory.glob("*.safetensors")):
        mapped = np.memmap(path, mode="r")
        size = struct.unpack("<Q", mapped[:8].tobytes())[0]
        header = json.loads(mapped[8 : 8 + size].tobytes())
        for name, entry in header.items():
            if name == "__metadata__":
                continue
            begin, end = (8 + size + offset for offset in entry["data_offsets"])
            data = mapped[begin:end].view(STORED[entry["dtype"]])
            yield Tensor(name, entry["dtype"], data.reshape(entry["shape"]))


def read_config(directory: Path) -> Config:
    config = json.loads((directory / "config.json").read_text())
    count = config["num_hidden_layers"]
    attention = config.get("full_attn_idxs") or []
    layers = config.get("layer_types") or [
        "full_attention" if i in attention else "conv" for i in range(count)
    ]
    gate = next(
        t for t in tensors(directory) if t.name.endswith("layers.0.feed_forward.w1.weight")
    )  # the first layers of a mixture of experts are dense
    rope = config.get("rope_parameters") or {}
    eos = config.get("eos_token_id", 7)
    return Config(
        hidden_size=config["hidden_size"],
        layers=layers[:count],
        heads=config["num_attention_heads"],
        kv_heads=config["num_key_value_heads"],
        head_size=config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"],
        ffn_size=gate.data.shape[0],
        vocab_size=config["vocab_size"],
        conv_taps=config.get("conv_L_cache", 3),
        context=config.get("max_position_embeddings", 128000),
        norm_eps=config.get("norm_eps", 1e-5),
        rope_theta=rope.get("rope_theta") or config.get("rope_theta") or 1e6,
        bos=config.get("bos_token_id", 1),
        eos=eos[0] if isinstance(eos, list) else eos,
        pad=config.get("pad_token_id", 0),
        experts=config.get("num_experts", 0),
        experts_per_token=config.get("num_experts_per_tok", 0),
        expert_size=config.get("moe_intermediate_size", 0),
        dense_layers=config.get("num_dense_layers", 0),
    )
