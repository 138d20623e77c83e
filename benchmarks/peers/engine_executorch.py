# SPDX-License-Identifier: Apache-2.0
"""ExecuTorch's XNNPACK delegate; `model` is a .pte file. Its thread pool has as
many threads as the process has processors, and its convolution states live in
the program: a new sequence begins at position 0 with the old ones in them,
which costs the same time."""
import os

import torch
from child import serve
from executorch.extension.llm.custom_ops import custom_ops  # noqa: F401 registers operators
from executorch.extension.pybindings.portable_lib import _load_for_executorch
from executorch.kernels import quantized  # noqa: F401 registers operators


class Program:
    def __init__(self, model: str, threads: int, context: int) -> None:
        available = len(os.sched_getaffinity(0))
        if available != threads:
            raise RuntimeError(f"expected {threads} processors, found {available}")
        self.module = _load_for_executorch(model)
        self.position = 0

    def reset(self) -> None:
        self.position = 0

    def read(self, tokens: list[int]) -> None:
        ids = torch.tensor([tokens], dtype=torch.long)
        at = torch.tensor([self.position], dtype=torch.long)
        self.last = self.module.forward((ids, at))[0]
        self.position += len(tokens)

    def logits(self) -> list[float]:
        return self.last.reshape(-1, self.last.shape[-1])[-1].tolist()


if __name__ == "__main__":
    serve(Program)
