#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every command and option that README.md shows exists.
usage: commands_test.py README.md LFMC"""
import re
import subprocess
import sys


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=False)


def main():
    readme, lfmc = sys.argv[1:]
    with open(readme, encoding="utf-8") as stream:
        rows = re.findall(r"^\| `lfmc (\w+)[^`]*` \|(.*)$", stream.read(), re.M)
    problems = []
    for command, text in rows:
        answer = run(lfmc, command, "--help")
        if answer.returncode != 0:
            problems.append(f"lfmc {command} --help: {answer.stderr.strip()}")
        for option in re.findall(r"`(--[\w-]+)", text):
            if option not in answer.stdout:
                problems.append(f"lfmc {command} has no {option}")
    if len(rows) < 8:
        problems.append(f"expected the table of commands, found {len(rows)} rows")
    if run(lfmc, "no-such-command").returncode == 0:
        problems.append("lfmc accepts an unknown command")
    print("\n".join(problems) or "ok")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
