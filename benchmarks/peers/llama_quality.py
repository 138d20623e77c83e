# SPDX-License-Identifier: Apache-2.0
"""Perplexity and divergence of GGUF files by llama.cpp, beside its own f32 run
of the same checkpoint. Runs in the llama_cpp environment.
usage: llama_quality.py TEXT RUNS THREADS REFERENCE.gguf [MODEL.gguf...]

The text's tokens in consecutive runs of 511, each behind the token that begins
a text; RUNS 0: all. Per position sum_i p(i) (log p(i) - log q(i)) in nats over
the whole vocabulary, p the reference's. The reference keeps its cache in f32,
the others in f16 as llama.cpp does by default. Prints one JSON object a line,
in the order of the files."""
import json
import sys
from pathlib import Path

import gguf
import numpy as np
from llama_session import Session

RUN = 511


def windows(session: Session, text: Path, runs: int) -> list[list[int]]:
    tokens = session.tokenize(text.read_bytes())
    count = min(runs or len(tokens), len(tokens) // RUN)
    bos = 1
    return [[bos] + tokens[i * RUN : (i + 1) * RUN] for i in range(count)]


def log_probabilities(session: Session, window: list[int]) -> np.ndarray:
    """Of every next token of the window, [RUN][vocab_size]."""
    logits = np.frombuffer(session.all_logits(window[:-1]), np.float32)
    values = logits.reshape(RUN, -1).astype(np.float64)
    values -= values.max(axis=1, keepdims=True)
    return values - np.log(np.exp(values).sum(axis=1, keepdims=True))


class Scores:
    """What is known of one model after the windows seen so far."""

    def __init__(self) -> None:
        self.nll: list[np.ndarray] = []
        self.kld: list[np.ndarray] = []
        self.same: list[np.ndarray] = []

    def add(self, p: np.ndarray, q: np.ndarray, targets: list[int]) -> None:
        """Rows of log probabilities, the reference's and the model's."""
        self.nll.append(-q[np.arange(len(q)), targets])
        self.kld.append((np.exp(p) * (p - q)).sum(axis=1))
        self.same.append(p.argmax(axis=1) == q.argmax(axis=1))

    def report(self) -> dict[str, float]:
        nll, kld, same = (np.concatenate(x) for x in (self.nll, self.kld, self.same))
        return {
            "tokens": len(nll),
            "perplexity": float(np.exp(nll.mean())),
            "kld_mean": float(kld.mean()),
            "kld_se": float(kld.std(ddof=1) / np.sqrt(len(kld))),
            "kld_p99": float(np.quantile(kld, 0.99)),
            "same_top1": float(same.mean()),
        }


def tensor_facts(path: str) -> dict[str, object]:
    """Bytes of the tensors, without metadata and tokenizer, and their types."""
    reader = gguf.GGUFReader(path)
    types: dict[str, int] = {}
    for tensor in reader.tensors:
        types[tensor.tensor_type.name] = types.get(tensor.tensor_type.name, 0) + int(tensor.n_bytes)
    return {"tensor_bytes": sum(types.values()), "bytes_by_type": types}


def main() -> None:
    text, runs, threads, paths = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]
    sessions = [Session(p, threads, RUN + 1, flash_attention=False, f32_cache=p == paths[0]) for p in paths]
    scores = [Scores() for _ in paths]
    for window in windows(sessions[0], text, runs):
        reference = log_probabilities(sessions[0], window)
        for session, score in zip(sessions, scores):
            own = reference if session is sessions[0] else log_probabilities(session, window)
            score.add(reference, own, window[1:])
    for path, score in zip(paths, scores):
        print(json.dumps({**tensor_facts(path), **score.report()}), flush=True)


if __name__ == "__main__":
    main()
