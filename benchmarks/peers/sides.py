# SPDX-License-Identifier: Apache-2.0
"""The sides of the comparison: engines, the formats they read, their settings.

A side belongs to one class of weights (q4, q8, bf16) and is compared with the
others of that class. Several sides of one peer differ by a setting; the better
one counts."""
from dataclasses import dataclass, field
from typing import Any

CLASSES = ("q4", "q8", "bf16")
TITLES = {
    "lfmc": "lfmc",
    "llama_cpp": "llama.cpp",
    "openvino": "OpenVINO",
    "executorch": "ExecuTorch",
}
PEERS = tuple(peer for peer in TITLES if peer != "lfmc")


@dataclass(frozen=True)
class Side:
    peer: str  # key of TITLES
    weights: str  # one of CLASSES
    format: str  # name of the converted model, see formats.py
    setting: str = ""  # shown
    options: dict[str, Any] = field(default_factory=dict, hash=False)

    @property
    def name(self) -> str:
        return " ".join(filter(None, (TITLES[self.peer], self.format, self.setting)))


def _llama_cpp(weights: str, format: str) -> list[Side]:
    return [
        Side("llama_cpp", weights, format, "flash attention", {"flash_attention": True}),
        Side("llama_cpp", weights, format, "", {"flash_attention": False}),
    ]


def _openvino(weights: str, format: str) -> list[Side]:
    return [
        Side("openvino", weights, format, "", {"precision": ""}),
        Side("openvino", weights, format, "f32 hint", {"precision": "f32"}),
    ]


SIDES = [
    Side("lfmc", "q4", "q4"),
    Side("lfmc", "q8", "q8"),
    Side("lfmc", "bf16", "bf16"),
    *_llama_cpp("q4", "Q4_0"),
    *_llama_cpp("q8", "Q8_0"),
    *_llama_cpp("bf16", "BF16"),
    *_openvino("q4", "int4-g128"),
    *_openvino("q8", "int8"),
    Side("executorch", "q4", "8da4w"),
]


def chosen(peers: list[str], classes: list[str]) -> list[Side]:
    return [s for s in SIDES if s.weights in classes and s.peer in ("lfmc", *peers)]
