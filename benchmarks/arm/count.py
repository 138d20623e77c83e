#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Instructions of a package under qemu-aarch64, by one thread: a prompt's token
and a decoded token, and the functions in which they are.

usage: count.py LFMC PACKAGE [--prefill 128] [--depth 128,1024] [--cpu max]
                [--functions] [--json]
"""
import argparse
import json
import os
import subprocess
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))


def build_plugin(folder):
    path = os.path.join(folder, "libicount.so")
    subprocess.run([os.environ.get("CC", "cc"), "-O2", "-shared", "-fPIC", "-o",
                    path, os.path.join(HERE, "icount.c")], check=True)
    return path


def read(path):
    """Per answer of the program: the count, and those of functions."""
    rows = []
    with open(path, encoding="utf-8") as stream:
        for line in stream:
            total, *functions = line.split()
            pairs = (f.rsplit("=", 1) for f in functions)
            rows.append((int(total), {name: int(n) for name, n in pairs}))
    return rows


def measure(lfmc, package, prefill, depths, emulator="qemu-aarch64 -cpu max",
            most=24, threads=1):
    """[(name, tokens, count, functions)]: the second run of each row of bench,
    and `most` of its functions; of several threads also thread:0, ..."""
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "counts")
        runner = (f"{emulator} -plugin {build_plugin(folder)},out={out},"
                  f"functions={most}" +
                  (f",threads={threads}" if threads > 1 else ""))
        subprocess.run([lfmc, "bench", package, "--runner", runner, "--repeat", "1",
                        "--threads", str(threads),
                        "--prefill", str(prefill), "--decode", "2", "--depth",
                        ",".join(map(str, depths))],
                       check=True, stdout=subprocess.DEVNULL)
        answers = read(out)
    results, at = [], 1  # the first answer is the opened model
    rows = [("prefill", prefill, 0)] if prefill else []
    for name, tokens, depth in rows + [("decode", 2, d) for d in depths]:
        # reset, [prefill], save, then twice load and the call that counts.
        at += (3 if depth else 2) + 4
        count, functions = answers[at - 1]
        results.append((f"{name} {tokens}" if name == "prefill"
                        else f"decode at {depth + 1}", tokens, count, functions))
    if at != len(answers):
        raise SystemExit(f"expected {at} answers, found {len(answers)}")
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lfmc")
    parser.add_argument("package")
    parser.add_argument("--prefill", type=int, default=128)
    parser.add_argument("--depth", default="128,1024")
    parser.add_argument("--cpu", default="max")
    parser.add_argument("--functions", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = measure(options.lfmc, options.package, options.prefill,
                      [int(d) for d in options.depth.split(",") if d],
                      f"qemu-aarch64 -cpu {options.cpu}")
    if options.json:
        print(json.dumps({name: count / tokens
                          for name, tokens, count, _ in results}, indent=2))
        return
    for name, tokens, count, functions in results:
        print(f"{name}: {count / tokens / 1e6:.2f} M instructions a token")
        if options.functions:
            for function, n in functions.items():
                print(f"  {n / tokens / 1e6:9.3f} {function}")


if __name__ == "__main__":
    main()
