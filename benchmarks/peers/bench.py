# SPDX-License-Identifier: Apache-2.0
"""lfmc beside its peers on this machine; scripts/bench-peers runs it."""
import argparse
import datetime
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import chart
import report
from formats import HERE, LFMC, ROOT, ConversionError, context_of, convert, run
from measure import MAX_REPEAT, TASKS, Contestant, Row, measure, say
from sides import CLASSES, PEERS, TITLES, chosen

QUICK_REPEAT = 2
QUICK_TASKS = ["prefill", "decode", "start"]


def names(known: Any) -> Any:
    """An argument that is a list of some of `known`, between commas."""

    def parse(text: str) -> list[str]:
        parts = text.split(",")
        for part in parts:
            if part not in known:
                raise argparse.ArgumentTypeError(f"unknown {part!r}, expected some of {','.join(known)}")
        return parts

    return parse


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench-peers", description="Measures lfmc beside its peers.")
    parser.add_argument("--models", default="350m,1.2b", help="presets of 'lfmc synth' or directories (350m,1.2b)")
    parser.add_argument("--peers", type=names(PEERS), default=list(PEERS), help=f"of {','.join(PEERS)} (all)")
    parser.add_argument("--weights", type=names(CLASSES), default=list(CLASSES), help=f"of {','.join(CLASSES)} (all)")
    parser.add_argument("--tasks", type=names(TASKS), default=list(TASKS), help=f"of {','.join(TASKS)} (all)")
    parser.add_argument("--repeat", type=int, default=5, help="rounds (5)")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="threads and processors (all)")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_REPEAT} rounds of {','.join(QUICK_TASKS)}")
    parser.add_argument("--work", type=Path, default=Path.home() / ".cache" / "lfmc" / "peers", help="converted models (~/.cache/lfmc/peers)")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results", help="results (benchmarks/results)")
    flags = parser.parse_args()
    if not 1 <= flags.repeat <= MAX_REPEAT or not 1 <= flags.threads <= len(os.sched_getaffinity(0)):
        parser.error(f"expected --repeat of 1 to {MAX_REPEAT} and --threads of 1 to the number of processors")
    if flags.quick:
        flags.repeat, flags.tasks = QUICK_REPEAT, QUICK_TASKS
    return flags


def checkpoint_of(model: str, work: Path) -> Path:
    """A directory as it is, or the checkpoint of a preset, written once."""
    if os.path.isdir(model):
        return Path(model).resolve()
    directory = work / f"synth-{model}"
    if not directory.exists():
        part = work / f"part-{os.getpid()}-synth-{model}"
        run([str(LFMC), "synth", model, "-o", str(part)], work / "logs" / "synth.log")
        part.rename(directory)
    return directory


def versions(peers: list[str]) -> dict[str, str]:
    found = {"lfmc": subprocess.run([LFMC, "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]}
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    found["lfmc"] += f" ({commit.stdout.strip()})" if commit.returncode == 0 else ""
    for peer in peers:
        first = (HERE / "requirements" / f"{peer}.txt").read_text().splitlines()[0]
        found[TITLES[peer]] = " ".join(first.split("=="))
    return found


def bench(flags: argparse.Namespace, model: str) -> list[Row]:
    """Rows of one model. A side that cannot be made fails in every task."""
    checkpoint = checkpoint_of(model, flags.work)
    name = checkpoint.name.removeprefix("synth-")
    work = flags.work / name
    work.mkdir(parents=True, exist_ok=True)
    contestants, rows, models = [], [], {}
    for side in chosen(flags.peers, flags.weights):
        key = (side.peer, side.format)
        try:
            if key not in models:
                say(f"{name}: preparing {TITLES[side.peer]} {side.format}")
                models[key] = convert(side, checkpoint, work)
            contestants.append(Contestant(side, models[key], work, flags.threads, context_of(checkpoint)))
        except ConversionError as error:
            say(f"{name}: {side.name}: {error}")
            rows += [Row(name, side, task, error="not converted") for task in flags.tasks]
    vocab_size = json.loads((checkpoint / "config.json").read_text())["vocab_size"]
    for weights in flags.weights:
        group = [c for c in contestants if c.side.weights == weights]
        rows += measure(name, group, flags.tasks, flags.repeat, vocab_size)
    return rows


def write(flags: argparse.Namespace, rows: list[Row], facts: dict[str, Any]) -> None:
    comparisons = report.compare(rows)
    flags.out.mkdir(parents=True, exist_ok=True)
    base = flags.out / f"peers-{facts['date']}"
    caption = f"{facts['machine']['cpu']}, {flags.threads} threads, {facts['date']}"
    files = {
        ".json": json.dumps({**facts, "rows": report.records(rows)}, indent=1) + "\n",
        ".md": report.markdown(comparisons, facts),
        ".svg": chart.svg(comparisons, caption),
    }
    for suffix, text in files.items():
        base.with_suffix(suffix).write_text(text, encoding="utf-8")
    print(f"\n{report.plain(comparisons)}\n\nwritten: {base}{{.json,.md,.svg}}")


def main() -> None:
    flags = arguments()
    flags.work.mkdir(parents=True, exist_ok=True)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: flags.threads])
    subprocess.run([HERE / "setup", *flags.peers], check=True)
    facts = {
        "date": datetime.date.today().isoformat(),
        "machine": report.machine(),
        "versions": versions(flags.peers),
        "settings": {"threads": flags.threads, "repeat": flags.repeat},
    }
    rows: list[Row] = []
    for model in flags.models.split(","):
        rows += bench(flags, model)
    write(flags, rows, facts)


if __name__ == "__main__":
    main()
