# SPDX-License-Identifier: Apache-2.0
"""The side of the protocol that runs inside an engine's own process.

A request is a line of JSON on stdin, its answer a line of JSON on stdout;
whatever the engine itself prints to stdout goes to stderr. An exception is
answered with {"error": text}; a crash ends the process, which the harness
sees.

  open     model, threads, context, options   loads
  prefill  tokens    new sequence, reads tokens -> seconds
  decode   tokens    reads tokens one by one behind the others -> seconds
  memory             -> anonymous, base, peak bytes

`seconds` end when the logits of the last token can be read. `top` is their
largest one's token: engines that compute the same model agree on it."""
import json
import math
import os
import sys
import time
from typing import Any, Callable, Protocol, Sequence


class Engine(Protocol):
    """What an engine's module has to bring; made by open's arguments."""

    def reset(self) -> None: ...

    def read(self, tokens: list[int]) -> None:
        """Returns when the logits of the last token are there."""

    def logits(self) -> Sequence[float]: ...


def status_bytes(field: str) -> int:
    with open("/proc/self/status", encoding="ascii") as stream:
        for line in stream:
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
    return 0


def largest(logits: Sequence[float]) -> int:
    values = list(logits)
    if not math.isfinite(sum(values)):
        raise RuntimeError("logits are not finite")
    return max(range(len(values)), key=values.__getitem__)


class Server:
    def __init__(self, create: Callable[..., Engine]) -> None:
        self.create = create
        self.base = status_bytes("RssAnon")
        self.engine: Engine | None = None

    def open(self, model: str, threads: int, context: int, options: dict[str, Any]) -> dict[str, Any]:
        start = time.perf_counter()
        self.engine = self.create(model, threads, context, **options)
        return {"seconds": time.perf_counter() - start}

    def _timed(self, steps: list[list[int]]) -> dict[str, Any]:
        assert self.engine
        start = time.perf_counter()
        for step in steps:
            self.engine.read(step)
        seconds = time.perf_counter() - start
        return {"seconds": seconds, "top": largest(self.engine.logits())}

    def prefill(self, tokens: list[int]) -> dict[str, Any]:
        assert self.engine
        self.engine.reset()
        return self._timed([tokens])

    def decode(self, tokens: list[int]) -> dict[str, Any]:
        return self._timed([[token] for token in tokens])

    def memory(self) -> dict[str, Any]:
        return {
            "anonymous": status_bytes("RssAnon"),
            "base": self.base,
            "peak": status_bytes("VmHWM"),
        }


def serve(create: Callable[..., Engine]) -> None:
    """Answers requests until stdin ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    server = Server(create)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(server, request.pop("do"))(**request)
        except Exception as error:  # the engine's own failure is a result
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)
