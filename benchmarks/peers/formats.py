# SPDX-License-Identifier: Apache-2.0
"""Turns one checkpoint into the format that each side reads. What the peers'
converters write is kept in the work directory and used again while checkpoint
and converters stay the same; lfmc is quick and always compiles."""
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from sides import Side

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
ENVIRONMENTS = ROOT / ".deps" / "peers"
LFMC = ROOT / "build" / "bin" / "lfmc"
CONTEXT = 5120  # positions that every side holds, unless the model has fewer
PACKAGE = "model"  # name of lfmc's packages; start_lfmc.c includes model.h
LIMIT = 3600  # seconds for one conversion
OPENVINO_FLAGS = {
    "int4-g128": ["--weight-format", "int4", "--group-size", "128", "--ratio", "1.0"],
    "int8": ["--weight-format", "int8"],
}


class ConversionError(Exception):
    """What went wrong, with the log's place."""


def python(peer: str) -> str:
    """The interpreter that has the peer; lfmc's side needs none but this."""
    return sys.executable if peer == "lfmc" else str(ENVIRONMENTS / peer / "bin" / "python")


def run(command: list[str], log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "ab") as stream:
        try:
            done = subprocess.run(command, stdout=stream, stderr=stream, timeout=LIMIT, check=False)
        except subprocess.TimeoutExpired:
            raise ConversionError(f"no end after {LIMIT} s, see {log}") from None
    if done.returncode != 0:
        raise ConversionError(f"{Path(command[0]).name} failed, see {log}")


def context_of(checkpoint: Path) -> int:
    config = json.loads((checkpoint / "config.json").read_text())
    return min(CONTEXT, config["max_position_embeddings"])


def identity(checkpoint: Path, peer: str) -> str:
    """Changes with the checkpoint's files and with the peer's version."""
    facts = [[p.name, p.stat().st_size, p.stat().st_mtime_ns] for p in sorted(checkpoint.iterdir())]
    pins = (HERE / "requirements" / f"{peer}.txt").read_text()
    return hashlib.sha256(json.dumps([facts, pins, CONTEXT]).encode()).hexdigest()[:12]


def compile_package(checkpoint: Path, format: str, work: Path) -> Path:
    """A package and, in it, NAME.so: the whole library as a shared object."""
    package = work / f"lfmc-{format}"
    shutil.rmtree(package, ignore_errors=True)
    # Values are random and speed does not depend on them: no calibration.
    quant = ["--quant", format, "--calibrate", "none"]
    if format == "plain":  # as the checkpoint is
        quant = []
    elif format == "bf16":  # activations are rounded, as llama.cpp does
        quant = ["--activations", "bf16"]
    command = [str(LFMC), "compile", str(checkpoint), "-o", str(package), "--name", PACKAGE]
    log = work / "logs" / f"compile-lfmc-{format}.log"
    run(command + ["--max-context", str(context_of(checkpoint))] + quant, log)
    library = package / f"{PACKAGE}.so"
    whole = ["-Wl,--whole-archive", str(package / f"lib{PACKAGE}.a"), "-Wl,--no-whole-archive"]
    run(["cc", "-shared", "-o", str(library), *whole, "-lm", "-lpthread"], log)
    return library


def converter(side: Side, checkpoint: Path, out: Path) -> list[str]:
    interpreter = python(side.peer)
    if side.peer == "llama_cpp":
        return [interpreter, "-B", str(HERE / "gguf_export.py"), str(checkpoint), str(out), side.format]
    if side.peer == "executorch":
        return [interpreter, "-B", str(HERE / "executorch_export.py"), str(checkpoint), str(out), str(context_of(checkpoint))]
    command = [str(Path(interpreter).with_name("optimum-cli")), "export", "openvino"]
    command += ["--model", str(checkpoint), "--task", "text-generation-with-past"]
    return command + OPENVINO_FLAGS[side.format] + ["--disable-convert-tokenizer", str(out)]


def convert(side: Side, checkpoint: Path, work: Path) -> Path:
    """The model that `side` opens, made from `checkpoint` below `work`."""
    if side.peer == "lfmc":
        return compile_package(checkpoint, side.format, work)
    suffix = {"llama_cpp": ".gguf", "openvino": "", "executorch": ".pte"}[side.peer]
    out = work / f"{side.peer}-{side.format}-{identity(checkpoint, side.peer)}{suffix}"
    if not out.exists():
        part = out.with_name(f"part-{os.getpid()}-{out.name}")
        run(converter(side, checkpoint, part), work / "logs" / f"convert-{side.peer}-{side.format}.log")
        part.rename(out)
    return out


def starter(side: Side, model: Path, work: Path) -> Path:
    """A program that loads `model`, reads one token and ends: start_*.c."""
    program = work / f"start-{side.peer}-{side.format}"
    log = work / "logs" / f"{program.name}.log"
    if side.peer == "lfmc":
        flags = [f"-I{model.parent}"]
        libraries = [str(model.parent / f"lib{PACKAGE}.a"), "-lm", "-lpthread"]
    else:
        installed = next((ENVIRONMENTS / side.peer / "lib").glob("python*/site-packages"))
        flags = [f"-I{installed / 'include'}"]
        folder = installed / "llama_cpp" / "lib"
        libraries = [f"-L{folder}", f"-Wl,-rpath,{folder}", "-lllama", "-lggml", "-lggml-base"]
    run(["cc", "-O2", *flags, str(HERE / f"start_{side.peer}.c"), "-o", str(program), *libraries], log)
    return program
