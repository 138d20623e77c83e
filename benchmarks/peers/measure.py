# SPDX-License-Identifier: Apache-2.0
"""Runs the tasks: every round asks each side once, so that what disturbs the
machine disturbs all of them."""
import random
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable

from formats import HERE, python, starter
from process import EngineError, Process, death
from sides import Side

PROMPT, GENERATED, DEPTH = 512, 64, 4096
LIMIT = 600.0  # seconds for one answer
FIRST_TOKEN = 1  # read by the start-up task: it begins a text
MAX_REPEAT = 14  # rounds that a context of formats.CONTEXT holds in the depth task
NATIVE = ("lfmc", "llama_cpp")  # sides whose start-up is a C program's
UNITS = {
    "prefill": "tok/s",
    "decode": "tok/s",
    "depth": "tok/s",
    "memory": "MiB",
    "start": "ms",
}
TASKS = {
    "prefill": f"prefill {PROMPT}",
    "decode": f"decode {GENERATED}",
    "depth": f"decode {GENERATED} at {DEPTH}",
    "memory": f"anonymous memory at {DEPTH}",
    "start": "start to first token",
}


def say(text: str) -> None:
    print(text, flush=True)


@dataclass
class Row:
    """Samples of one side in one task."""

    model: str
    side: Side
    task: str
    samples: list[float] = field(default_factory=list)
    error: str = ""


class Contestant:
    """One side with its process. After an error it is out, the others go on."""

    def __init__(self, side: Side, model: Path, work: Path, threads: int, context: int) -> None:
        self.side, self.model = side, model
        self.threads, self.context = threads, context
        self.command = [python(side.peer), "-B", str(HERE / f"engine_{side.peer}.py")]
        self.log = str(work / "logs" / f"run-{side.peer}-{side.format}.log")
        self.process: Process | None = None
        self.program = starter(side, model, work) if side.peer in NATIVE else None

    def call(self, **request: Any) -> dict[str, Any]:
        if not self.process:
            self.process = Process(self.command, self.log)
            self.process.call(
                LIMIT,
                do="open",
                model=str(self.model),
                threads=self.threads,
                context=self.context,
                options=self.side.options,
            )
        return self.process.call(LIMIT, **request)

    def close(self) -> None:
        if self.process:
            self.process.close()
        self.process = None


def prefill(contestant: Contestant, tokens: list[int], _: int) -> float:
    return PROMPT / contestant.call(do="prefill", tokens=tokens[:PROMPT])["seconds"]


def decode(contestant: Contestant, tokens: list[int], _: int) -> float:
    contestant.call(do="prefill", tokens=tokens[:1])
    return GENERATED / contestant.call(do="decode", tokens=tokens[1 : GENERATED + 1])["seconds"]


def depth(contestant: Contestant, tokens: list[int], round: int) -> float:
    """The context is filled once; each round goes on behind the one before."""
    if round < 0:
        contestant.call(do="prefill", tokens=tokens[:DEPTH])
    begin = DEPTH + (round + 1) * GENERATED
    part = tokens[begin : begin + GENERATED]
    return GENERATED / contestant.call(do="decode", tokens=part)["seconds"]


def memory(contestant: Contestant, tokens: list[int], round: int) -> float:
    """Of the process after it has read DEPTH tokens and written some, without
    what it had before it opened the model."""
    if round < 0:
        contestant.close()
        contestant.call(do="prefill", tokens=tokens[:DEPTH])
        contestant.call(do="decode", tokens=tokens[DEPTH : DEPTH + GENERATED])
    answer = contestant.call(do="memory")
    return (answer["anonymous"] - answer["base"]) / 2**20


def start(contestant: Contestant, _: list[int], __: int) -> float:
    """Milliseconds from the start of a process to the first token's logits."""
    if not contestant.program:
        contestant.close()
    begin = time.perf_counter()
    if contestant.program:
        weights = contestant.model
        if contestant.side.peer == "lfmc":
            weights = weights.with_suffix(".weights")
        numbers = (contestant.threads, contestant.context, FIRST_TOKEN)
        command = [str(contestant.program), str(weights), *map(str, numbers)]
        try:
            done = subprocess.run(command, capture_output=True, timeout=LIMIT, check=False)
        except subprocess.TimeoutExpired:
            raise EngineError(f"no end after {LIMIT:g} s") from None
        if done.returncode != 0:
            raise EngineError(f"{death(done.returncode)}: {done.stderr.decode().strip()}")
    else:
        contestant.call(do="prefill", tokens=[FIRST_TOKEN])
    return 1e3 * (time.perf_counter() - begin)


MEASURES: dict[str, Callable[[Contestant, list[int], int], float]] = {
    "prefill": prefill,
    "decode": decode,
    "depth": depth,
    "memory": memory,
    "start": start,
}


def needed(task: str, repeat: int) -> int:
    """Positions that the task takes."""
    if task in ("depth", "memory"):
        return DEPTH + (repeat + 1) * GENERATED
    return PROMPT


def tokens_of(vocab_size: int, count: int) -> list[int]:
    """Equal for all sides."""
    source = random.Random(1)
    return [FIRST_TOKEN] + [source.randrange(vocab_size) for _ in range(count - 1)]


def rounds(
    task: str, contestants: list[Contestant], repeat: int, ask: Callable[[Contestant, int], float]
) -> dict[str, Row]:
    """Rows by side's name: `repeat` samples each, taken in turns, after a round
    that warms up and is not counted."""
    rows = {c.side.name: Row("", c.side, task) for c in contestants}
    for round in range(-1, repeat):
        for contestant in contestants:
            row = rows[contestant.side.name]
            if row.error:
                continue
            try:
                sample = ask(contestant, round)
            except EngineError as error:
                row.error = str(error)
                contestant.close()
                continue
            if round >= 0:
                row.samples.append(sample)
    return rows


def measure(
    model: str, contestants: list[Contestant], tasks: list[str], repeat: int, vocab_size: int
) -> list[Row]:
    """Rows of every task that fits the context, for sides of equal weights."""
    result = []
    for task in tasks:
        if contestants and needed(task, repeat) > contestants[0].context:
            say(f"{model}: {TASKS[task]}: does not fit the model's context of {contestants[0].context}")
            continue
        tokens = tokens_of(vocab_size, needed(task, repeat))
        rows = rounds(task, contestants, repeat, lambda c, r: MEASURES[task](c, tokens, r))
        for row in rows.values():
            row.model = model
            say(f"{model}: {TASKS[task]}: {row.side.name}: {row.error or summary(row)}")
            result.append(row)
    for contestant in contestants:
        contestant.close()
    return result


def summary(row: Row) -> str:
    ordered = sorted(row.samples)
    return f"{ordered[len(ordered) // 2]:.1f} ({ordered[0]:.1f} .. {ordered[-1]:.1f}) {UNITS[row.task]}"
