#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Packets of a package under qemu-hexagon, by operation: a prompt's token and a
decoded token. With --threads also those of each thread: which takes a chunk of
work depends on the emulator's machine, their sum does not but for waiting.

usage: count.py LFMC PACKAGE [--prefill 64] [--depth 65] [--threads 1]
                [--functions] [--json]
"""
import argparse
import json
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "arm"))
import count as counting  # noqa: E402  (benchmarks/arm/count.py)

FUNCTIONS = 8192  # all
# A kernel is called NAME_lfm_FAMILY_HASH.
KERNEL = re.compile(r"_lfm_(\w+)_[0-9a-f]{16}$")


def threads(functions):
    return {name: count for name, count in functions.items()
            if name.startswith("thread:")}


def operations(functions):
    """{operation: count}, the most first; what is no kernel is `program`."""
    sums = {}
    for name, count in functions.items():
        if name.startswith("thread:"):
            continue
        kernel = KERNEL.search(name)
        operation = kernel.group(1) if kernel else "program"
        sums[operation] = sums.get(operation, 0) + count
    return dict(sorted(sums.items(), key=lambda item: -item[1]))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lfmc")
    parser.add_argument("package")
    parser.add_argument("--prefill", type=int, default=64)
    parser.add_argument("--depth", default="65")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--functions", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = counting.measure(
        options.lfmc, options.package, options.prefill,
        [int(d) for d in options.depth.split(",") if d], "qemu-hexagon", FUNCTIONS,
        options.threads)
    if options.json:
        print(json.dumps({name: {"packets": count / tokens,
                                 **{op: n / tokens for op, n in
                                    operations(functions).items()},
                                 **{thread: n / tokens for thread, n in
                                    threads(functions).items()}}
                          for name, tokens, count, functions in results}, indent=2))
        return
    for name, tokens, count, functions in results:
        print(f"{name}: {count / tokens / 1e3:.1f} thousand packets a token")
        shown = (functions if options.functions else
                 {**operations(functions), **threads(functions)})
        for what, n in shown.items():
            print(f"  {n / tokens / 1e3:9.2f} {what}")


if __name__ == "__main__":
    main()
