#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Decode time of a mixture of experts against the number of experts, at a fixed
number that a token takes, and against the number that it takes.

Writes checkpoints with `lfmc synth 8b-a1b --layers N`, compiles them to q4 and
measures one token after another with `lfmc bench`, in turns. Prints the times
and draws both lines. usage: growth.py [--help] [OPTIONS]"""
import argparse
import json
import shutil
import statistics
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LFMC = ROOT / "build" / "bin" / "lfmc"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=4, help="layers of the model, of which two are dense (4)")
    parser.add_argument("--experts", default="8,16,32,64", help="numbers of experts, four for each token (8,16,32,64)")
    parser.add_argument("--chosen", default="1,2,4,8", help="numbers that a token takes, of 16 (1,2,4,8)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds over all models (3)")
    parser.add_argument("--threads", type=int, default=2, help="threads (2)")
    parser.add_argument("--prefix", default="", help="command that runs each measurement")
    parser.add_argument("--svg", type=Path, help="where to draw")
    return parser.parse_args()


def run(*command: object) -> str:
    return subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True).stdout


def package(work: Path, layers: int, experts: int, chosen: int) -> Path:
    out = work / f"e{experts}k{chosen}"
    source = work / "checkpoint"
    run(LFMC, "synth", "8b-a1b", "--layers", layers, "--experts", experts, "--experts-per-token", chosen, "-o", source)
    run(LFMC, "compile", source, "-o", out, "--name", "m", "--quant", "q4", "--calibrate", "none", "--max-context", 256)
    shutil.rmtree(source)
    return out


def milliseconds(flags: argparse.Namespace, model: Path) -> float:
    text = run(*flags.prefix.split(), LFMC, "bench", model, "--json", "--threads", flags.threads, "--prefill", 0, "--depth", 0, "--step", 0, "--no-roofline", "--repeat", 3)
    return 1e3 * json.loads(text)["decode"][0]["step_seconds"]["median"]


def measure(flags: argparse.Namespace, models: dict[int, Path]) -> dict[int, float]:
    times: dict[int, list[float]] = {key: [] for key in models}
    for _ in range(flags.rounds):
        for key, model in models.items():
            times[key].append(milliseconds(flags, model))
    return {key: statistics.median(values) for key, values in times.items()}


def svg(lines: dict[str, dict[int, float]]) -> str:
    width, height, left, bottom = 480, 320, 56, 40
    top = max(max(line.values()) for line in lines.values()) * 1.1
    right = max(max(line) for line in lines.values())
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="11">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]

    def place(x: float, y: float) -> tuple[float, float]:
        return left + x / right * (width - left - 20), height - bottom - y / top * (height - bottom - 30)

    for color, (label, line) in zip(("#08306b", "#b30000"), lines.items()):
        points = [place(x, y) for x, y in sorted(line.items())]
        out.append(f'<polyline fill="none" stroke="{color}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}"/>')
        for (x, y), (count, time) in zip(points, sorted(line.items())):
            out.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{color}"/>')
            out.append(f'<text x="{x:.1f}" y="{y - 6:.1f}" text-anchor="middle">{count}: {time:.2f}</text>')
        out.append(f'<text x="{left}" y="{14 + 13 * list(lines).index(label)}" fill="{color}">{label}</text>')
    out.append(f'<text x="{left}" y="{height - 8}">experts; milliseconds a token above</text></svg>')
    return "\n".join(out) + "\n"


def main() -> None:
    flags = arguments()
    with tempfile.TemporaryDirectory(prefix="lfmc-growth-") as directory:
        work = Path(directory)
        experts = {int(n): package(work, flags.layers, int(n), 4) for n in flags.experts.split(",")}
        chosen = {int(n): package(work, flags.layers, 16, int(n)) for n in flags.chosen.split(",")}
        lines = {
            "four of N experts": measure(flags, experts),
            "N of 16 experts": measure(flags, chosen),
        }
    for label, line in lines.items():
        print(label)
        for count, time in sorted(line.items()):
            print(f"  {count:4}  {time:8.3f} ms")
    if flags.svg:
        flags.svg.write_text(svg(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
