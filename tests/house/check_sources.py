#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks the rules of docs/architecture.md and docs/style.md that a script can
check: who may include whom, what no file may name, files that documentation
refers to. usage: check_sources.py ROOT. Prints one line per violation."""
import os
import re
import sys

SOURCES = (".h", ".hpp", ".c", ".cpp", ".td")
SKIPPED = re.compile(r"^(\.git|\.deps|\.cache|build|build-.*|__pycache__)$")
MAX_LINES = 400

# Top-level folder -> folders whose headers it may include. The runtime's public
# headers (lfm/...) are the contract between generated code, compiler and
# applications: everyone may include them.
COMPILER = {"mlir", "llvm", "llvm-c", "mlir-c"}
ALLOWED = {
    "runtime": set(),
    "dialects": {"dialects"} | COMPILER,
    "targets": {"targets", "dialects"} | COMPILER,
    "frontend": {"frontend", "dialects", "targets"} | COMPILER,
    "passes": {"passes", "dialects", "targets"} | COMPILER,
    "codegen": {"codegen", "passes", "dialects", "targets", "frontend"} | COMPILER,
}
FOLDERS = set(ALLOWED) | COMPILER | {"tools", "tests", "benchmarks"}
INCLUDE = re.compile(r'^\s*#?\s*include\s+([<"])([^">]+)[">]')

# Written in pieces, so that this file does not name them.
FORBIDDEN = [
    (re.compile(r"(?<![\w.])/" + "work" + r"(?![\w-])"), "a path of one machine"),
    (re.compile(r"\.\./" + "shared" + r"\b"), "a folder outside the repository"),
    (re.compile("|".join((
        "pypi" + r"\.org", "python" + r"hosted\.org", "npm" + r"js\.org",
        "crates" + r"\.io", "apt" + r"\.llvm\.org", "deb" + r"\.debian\.org",
        "proxy" + r"\.golang\.org"))), "a registry host"),
    (re.compile("^(<{7}|>{7}) "), "two sides of a merge"),
    (re.compile(r"\b(TO" + "DO|FIX" + "ME|X" + r"XX)\b"), "unfinished work"),
]
# Texts that are data: checkpoints, goldens, and what an editor may put there.
DATA = re.compile(r"^(examples/lfm2-small-dense/|tests/data/)")
DOCTEST = re.compile(r"\(\* example filepath=(\S+) \*\)")


def files(root):
    """Paths below root, relative, of everything but build and set-up folders."""
    for folder, names, entries in os.walk(root):
        names[:] = sorted(n for n in names if not SKIPPED.match(n))
        for entry in sorted(entries):
            yield os.path.relpath(os.path.join(folder, entry), root)


def check_include(path, line):
    match = INCLUDE.match(line)
    top = path.split("/")[0]
    if not match or top not in ALLOWED:
        return None
    name = match.group(2)
    first = name.split("/")[0]
    if "Halide" in name and not path.startswith("codegen/halide/"):
        return f"{path}: only codegen/halide may include {name}"
    if name.startswith("runtime/include/lfm/") or first == "lfm":
        return None
    if first in FOLDERS and first not in ALLOWED[top]:
        return f"{path}: {top} may not include {name}"
    return None


def check_file(root, path):
    try:
        with open(os.path.join(root, path), encoding="utf-8") as stream:
            lines = stream.read().splitlines()
    except (UnicodeDecodeError, FileNotFoundError):
        return  # binary, or removed while we look
    is_source = path.endswith(SOURCES)
    if is_source and not any("SPDX-License-Identifier: Apache-2.0" in l
                             for l in lines[:2]):
        yield f"{path}: no SPDX line at the start"
    if is_source and len(lines) > MAX_LINES:
        yield f"{path}: {len(lines)} lines, at most {MAX_LINES} wanted"
    for number, line in enumerate(lines, 1):
        if is_source:
            problem = check_include(path, line)
            if problem:
                yield problem
        if DATA.match(path):
            continue
        for pattern, what in FORBIDDEN:
            if pattern.search(line):
                yield f"{path}:{number}: names {what}: {line.strip()[:80]}"
        if path.endswith(".td"):
            for example in DOCTEST.findall(line):
                if not os.path.exists(os.path.join(root, example)):
                    yield f"{path}:{number}: no such example: {example}"


def check(root):
    """All violations below root, as lines of text."""
    return [problem for path in files(root) for problem in check_file(root, path)]


if __name__ == "__main__":
    found = check(sys.argv[1])
    print("\n".join(found) if found else "no violations")
    sys.exit(1 if found else 0)
