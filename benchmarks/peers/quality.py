# SPDX-License-Identifier: Apache-2.0
"""What quantization costs: perplexity and divergence of lfmc's packages and of
llama.cpp's files of one checkpoint, on one text.

Both sides read the text in runs of 511 tokens behind the token that begins a
text and compare with an unquantized run of their own: lfmc with its plain
package, llama.cpp with its f32 file (the weights of both are the checkpoint's,
and both reach the perplexity of the f32 model). Divergence: sum_i p(i) (log
p(i) - log q(i)) in nats over the whole vocabulary, mean over all positions."""
import argparse
import json
import subprocess
from pathlib import Path
from typing import Any

from formats import HERE, LFMC, PACKAGE, ROOT, convert, python
from sides import Side

MODEL = ROOT / "examples" / "lfm2-small-dense"
LLAMA_TYPES = ("F32", "BF16", "Q4_0", "Q4_K_M", "Q8_0")
PACKAGES = ("plain", "q4", "q8")
COLUMNS = ("tokens", "perplexity", "kld_mean", "kld_se", "same_top1")


def json_lines(command: list[str]) -> list[dict[str, Any]]:
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def llama_cpp(checkpoint: Path, text: Path, work: Path, runs: int, threads: int) -> list[dict[str, Any]]:
    files = [convert(Side("llama_cpp", "", t), checkpoint, work) for t in LLAMA_TYPES]
    script = [python("llama_cpp"), "-B", str(HERE / "llama_quality.py")]
    numbers = [str(text), str(runs), str(threads)]
    found = json_lines(script + numbers + [str(f) for f in files])
    return [{"name": f"llama.cpp {t}", **row} for t, row in zip(LLAMA_TYPES, found)]


def tensor_bytes(package: Path) -> int:
    """Of what comes from the checkpoint: tables that lfmc adds (the rotary
    position embedding's) are not counted, no peer stores them."""
    manifest = json.loads((package / f"{PACKAGE}.json").read_text())
    return sum(weight["bytes"] for weight in manifest["weights"] if weight["sources"])


def lfmc(checkpoint: Path, text: Path, work: Path, runs: int, threads: int) -> list[dict[str, Any]]:
    packages = [convert(Side("lfmc", "", q), checkpoint, work).parent for q in PACKAGES]
    rows = []
    for quant, package in zip(PACKAGES, packages):
        command = [str(LFMC), "eval", str(package), "--text", str(text), "--threads", str(threads), "--json"]
        command += ["--reference", str(packages[0])] + (["--runs", str(runs)] if runs else [])
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        rows.append({"name": f"lfmc {quant}", "tensor_bytes": tensor_bytes(package), **json.loads(done.stdout)})
    return rows


def markdown(rows: list[dict[str, Any]], title: str) -> str:
    lines = [f"# {title}", "", "| model | bytes | " + " | ".join(COLUMNS) + " |", "|---" * (2 + len(COLUMNS)) + "|"]
    for row in rows:
        values = [f"{row[column]:.6g}" for column in COLUMNS]
        lines.append(f"| {row['name']} | {row['tensor_bytes']} | " + " | ".join(values) + " |")
    return "\n".join(lines + [""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=MODEL, help="checkpoint (the bundled one)")
    parser.add_argument("--text", type=Path, default=MODEL / "heldout.txt", help="UTF-8 text (the bundled one)")
    parser.add_argument("--runs", type=int, default=0, help="only the first runs (all)")
    parser.add_argument("--threads", type=int, default=2, help="threads (2)")
    parser.add_argument("--work", type=Path, default=Path.home() / ".cache" / "lfmc" / "peers", help="converted models")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results", help="results")
    flags = parser.parse_args()
    subprocess.run([HERE / "setup", "llama_cpp"], check=True)
    checkpoint = flags.model.resolve()
    work = flags.work / checkpoint.name
    work.mkdir(parents=True, exist_ok=True)
    rest = (checkpoint, flags.text, work, flags.runs, flags.threads)
    rows = llama_cpp(*rest) + lfmc(*rest)
    flags.out.mkdir(parents=True, exist_ok=True)
    base = flags.out / f"quality-{checkpoint.name}"
    text = markdown(rows, f"Quality of {checkpoint.name} on {flags.text.name}")
    base.with_suffix(".json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    base.with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
