#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Replaces `(* example filepath=TEST *)` in a generated page by that lit test:
its input, and what lfmc-opt makes of it with the options of its RUN line.
usage: inline_doctests.py PAGE ROOT LFMC-OPT"""
import os
import re
import shlex
import subprocess
import sys

MARK = re.compile(r"^[ \t]*\(\* example filepath=(\S+) \*\)$", re.M)
RUN = re.compile(r"^// RUN: lfmc-opt (.*?)(?:\||$)", re.M)


def fence(text):
    return "```mlir\n" + text.strip() + "\n```\n"


def example(root, path, tool):
    with open(os.path.join(root, path), encoding="utf-8") as stream:
        text = stream.read()
    run = RUN.search(text)
    if not run:
        sys.exit(f"{path}: no RUN line of lfmc-opt")
    options = [o for o in shlex.split(run.group(1)) if o != "%s"]
    result = subprocess.run([tool, os.path.join(root, path), *options],
                            capture_output=True, text=True, check=False)
    if result.returncode != 0:
        sys.exit(f"{path}: {result.stderr}")
    shown = "\n".join(line for line in text.splitlines()
                      if not re.match(r"\s*// (RUN|CHECK)", line))
    return (f"Example (`{path}`, `lfmc-opt {' '.join(options)}`):\n\n"
            f"{fence(shown)}\nbecomes\n\n{fence(result.stdout)}")


def main():
    page, root, tool = sys.argv[1:]
    with open(page, encoding="utf-8") as stream:
        text = stream.read()
    text = MARK.sub(lambda mark: example(root, mark.group(1), tool), text)
    with open(page, "w", encoding="utf-8") as stream:
        stream.write(text)


if __name__ == "__main__":
    main()
