# SPDX-License-Identifier: Apache-2.0
"""From rows of samples to the table of ratios: text, Markdown, JSON, SVG."""
import os
import platform
import re
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measure import TASKS, UNITS, Row
from sides import CLASSES, TITLES

FEATURES = (
    "avx2 fma avx_vnni avx512f avx512bw avx512_vnni avx512_bf16 avx512_fp16 amx_tile amx_int8 amx_bf16"
).split()


def lower_is_better(task: str) -> bool:
    return not UNITS[task].endswith("/s")


@dataclass
class Cell:
    """One peer in one comparison: its better side, or why there is none."""

    row: Row | None
    error: str = ""

    @property
    def median(self) -> float:
        assert self.row
        return statistics.median(self.row.samples)

    def text(self) -> str:
        if not self.row:
            return self.error
        low, high = min(self.row.samples), max(self.row.samples)
        return f"{self.median:.1f} ({low:.1f}–{high:.1f})"


@dataclass
class Comparison:
    """lfmc and the peers in one task with one model and class of weights."""

    model: str
    weights: str
    task: str
    cells: dict[str, Cell]  # by peer, lfmc among them

    def ratio(self, peer: str) -> float | None:
        """How many times better lfmc is; None if one of the two is missing."""
        ours, theirs = self.cells.get("lfmc"), self.cells[peer]
        if not ours or not ours.row or not theirs.row:
            return None
        better, worse = ours.median, theirs.median
        return worse / better if lower_is_better(self.task) else better / worse


def better(task: str, rows: list[Row]) -> Cell:
    measured = [Cell(row) for row in rows if row.samples and not row.error]
    if not measured:
        return Cell(None, "; ".join(dict.fromkeys(row.error for row in rows)))
    choose = min if lower_is_better(task) else max
    return choose(measured, key=lambda cell: cell.median)


def compare(rows: list[Row]) -> list[Comparison]:
    """Grouped in the order of models, weights and tasks; per peer the better
    side."""
    groups: dict[tuple[str, str, str], dict[str, list[Row]]] = {}
    for row in rows:
        key = (row.model, row.side.weights, row.task)
        groups.setdefault(key, {}).setdefault(row.side.peer, []).append(row)
    models = list(dict.fromkeys(row.model for row in rows))
    order = sorted(
        groups, key=lambda k: (models.index(k[0]), CLASSES.index(k[1]), list(TASKS).index(k[2]))
    )
    return [
        Comparison(*key, {peer: better(key[2], found) for peer, found in groups[key].items()})
        for key in order
    ]


def machine() -> dict[str, Any]:
    info = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    name = re.search(r"model name\s*: (.*)", info)
    flags = re.search(r"flags\s*: (.*)", info)
    present = flags[1].split() if flags else []
    return {
        "cpu": name[1] if name else platform.machine(),
        "features": [feature for feature in FEATURES if feature in present],
        "processors": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "load": os.getloadavg()[0],
    }


def table(comparisons: list[Comparison]) -> list[list[str]]:
    peers = [p for p in TITLES if any(p in c.cells for c in comparisons)]
    peers = [p for p in peers if p != "lfmc"]
    head = ["model", "weights", "task", "unit", "lfmc"]
    for peer in peers:
        head += [TITLES[peer], "lfmc is"]
    lines = [head]
    for c in comparisons:
        ours = c.cells.get("lfmc")
        line = [c.model, c.weights, TASKS[c.task], UNITS[c.task], ours.text() if ours else ""]
        for peer in peers:
            if peer not in c.cells:
                line += ["", ""]
                continue
            cell, ratio = c.cells[peer], c.ratio(peer)
            side = cell.row.side.name.removeprefix(TITLES[peer]).strip() if cell.row else ""
            line += [f"{cell.text()} {side}".strip(), f"{ratio:.2f}×" if ratio else ""]
        lines.append(line)
    return lines


def markdown(comparisons: list[Comparison], facts: dict[str, Any]) -> str:
    lines = table(comparisons)
    rows = ["| " + " | ".join(line) + " |" for line in lines]
    rows.insert(1, "|" + "---|" * len(lines[0]))
    m, s = facts["machine"], facts["settings"]
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    text = [
        f"# lfmc and its peers, {facts['date']}",
        "",
        f"{m['cpu']} ({', '.join(m['features'])}), {s['threads']} threads, {m['system']}; load {m['load']:.1f} at the start.",
        f"{versions}. Medians of {s['repeat']} rounds taken in turns, lowest and highest in brackets;",
        "of a peer's settings the better one; above 1× lfmc is better.",
        "",
        *rows,
        "",
    ]
    return "\n".join(text)


def plain(comparisons: list[Comparison]) -> str:
    lines = table(comparisons)
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths)).rstrip() for line in lines
    )


def records(rows: list[Row]) -> list[dict[str, Any]]:
    return [
        {
            "model": row.model,
            "peer": row.side.peer,
            "side": row.side.name,
            "weights": row.side.weights,
            "task": row.task,
            "unit": UNITS[row.task],
            "samples": row.samples,
            "error": row.error,
        }
        for row in rows
    ]
