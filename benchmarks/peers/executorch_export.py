# SPDX-License-Identifier: Apache-2.0
"""Checkpoint to an ExecuTorch program for XNNPACK, by ExecuTorch's own LFM2
recipe: dynamically quantized int8 activations, 4-bit matrices in groups of 32
(head included), 8-bit embedding. Runs in the executorch environment.
usage: executorch_export.py CHECKPOINT OUT.pte CONTEXT"""
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

import checkpoint

RENAMED = {
    "model.embed_tokens.": "tok_embeddings.",
    "model.embedding_norm.": "norm.",
    "lm_head.": "output.",
    "model.": "",
    ".operator_norm.": ".attention_norm.",
    ".self_attn.q_proj.": ".attention.wq.",
    ".self_attn.k_proj.": ".attention.wk.",
    ".self_attn.v_proj.": ".attention.wv.",
    ".self_attn.out_proj.": ".attention.wo.",
    ".self_attn.q_layernorm.": ".attention.q_norm_fn.",
    ".self_attn.k_layernorm.": ".attention.k_norm_fn.",
}
IN_PROJ = ".conv.in_proj.weight"


def weights(directory: Path) -> dict[str, torch.Tensor]:
    """By the names of ExecuTorch's model, which splits in_proj in three."""
    result = {}
    for tensor in checkpoint.tensors(directory):
        name = tensor.name
        for theirs, ours in RENAMED.items():
            name = name.replace(theirs, ours)
        values = torch.from_numpy(tensor.float32())
        if name.endswith(IN_PROJ):
            for part, rows in zip("BCx", values.chunk(3)):
                result[name.replace("in_proj", f"{part}_proj")] = rows.clone()
        else:
            result[name] = values
    result.setdefault("output.weight", result["tok_embeddings.weight"])
    return result


def parameters(config: checkpoint.Config) -> dict[str, object]:
    return {
        "dim": config.hidden_size,
        "hidden_dim": config.ffn_size,
        "n_heads": config.heads,
        "n_kv_heads": config.kv_heads,
        "head_dim": config.head_size,
        "n_layers": len(config.layers),
        "layer_types": config.layers,
        "norm_eps": config.norm_eps,
        "rope_theta": config.rope_theta,
        "use_scaled_rope": False,
        "use_hf_rope": True,
        "use_qk_norm": True,
        "qk_norm_before_rope": True,
        "vocab_size": config.vocab_size,
    }


def recipe(folder: Path, out: Path, context: int) -> list[str]:
    return [
        "base.model_class=lfm2_350m",  # any LFM2: the sizes are in params.json
        f"base.checkpoint={folder / 'weights.pth'}",
        f"base.params={folder / 'params.json'}",
        'base.metadata=\'{"get_bos_id": 1, "get_eos_ids": [7]}\'',
        "model.use_kv_cache=True",
        "model.use_sdpa_with_kv_cache=True",
        "model.dtype_override=fp32",
        "quantization.qmode=8da4w",
        "quantization.group_size=32",
        'quantization.embedding_quantize="8,0"',
        "backend.xnnpack.enabled=True",
        "backend.xnnpack.extended_ops=True",
        f"export.max_seq_length={context}",
        f"export.max_context_length={context}",
        f"export.output_name={out}",
    ]


def main() -> None:
    directory, out, context = Path(sys.argv[1]), Path(sys.argv[2]).resolve(), int(sys.argv[3])
    with tempfile.TemporaryDirectory(dir=out.parent) as temporary:
        folder = Path(temporary)
        torch.save(weights(directory), folder / "weights.pth")
        config = checkpoint.read_config(directory)
        (folder / "params.json").write_text(json.dumps(parameters(config)))
        module = [sys.executable, "-m", "executorch.extension.llm.export.export_llm"]
        subprocess.run(module + recipe(folder, out, context), check=True, cwd=folder)


if __name__ == "__main__":
    main()
