# SPDX-License-Identifier: Apache-2.0
"""The harness's side of the protocol of child.py: one process an engine. A
crash, a hang and an answer that is an error all end as EngineError. Between
answers a process is stopped: the threads of most engines spin for a while after
their work, which would disturb whoever is asked next."""
import json
import selectors
import signal
import subprocess
import time
from typing import Any


class EngineError(Exception):
    """What went wrong, as one line."""


def death(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


class Process:
    """Starts `command`. `log` gets what it prints to stderr."""

    def __init__(self, command: list[str], log: str) -> None:
        self.log = open(log, "ab")
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
        )
        self.buffer = b""

    def call(self, limit: float, **request: Any) -> dict[str, Any]:
        """The answer, within `limit` seconds."""
        assert self.process.stdin
        self.process.send_signal(signal.SIGCONT)
        try:
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise EngineError(f"ended: {death(self.process.wait())}") from None
        answer = json.loads(self._line(limit))
        self.process.send_signal(signal.SIGSTOP)
        if "error" in answer:
            raise EngineError(answer["error"])
        return answer

    def _line(self, limit: float) -> bytes:
        assert self.process.stdout
        end = time.monotonic() + limit
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while b"\n" not in self.buffer:
                if not selector.select(max(0, end - time.monotonic())):
                    self.close()
                    raise EngineError(f"no answer in {limit:g} s")
                part = self.process.stdout.read1(1 << 16)
                if not part:
                    raise EngineError(f"ended: {death(self.process.wait())}")
                self.buffer += part
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.log):
            try:
                stream.close()
            except BrokenPipeError:
                pass  # what was not yet written, to a process that is gone
