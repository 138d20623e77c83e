#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""vrmpy a packet in the loops of a package's quantized matrices, by disassembly,
and how few packets the loops could have.

usage: bound.py PACKAGE... [--llvm DIRECTORY] [--json]

A loop is an innermost hardware loop with vrmpy: all that a block of 32 columns
takes. Loops with as many vrmpy are counted together (panels of 64 rows: 16 of
one token, 32 of two, 64 of four). The least is the largest of what the loop
needs: one packet a vector load, one a pair of multipliers (a vrmpy or a splat
takes one, a multiplication of words both) and one for four instructions.
"""
import argparse
import glob
import json
import os
import re
import subprocess
import sys


def disassemble(objdump, path, version):
    """The text of an object or archive; `version` is v66, v68 and so on."""
    floats = "" if version < "v68" else ",+hvx-qfloat"
    return subprocess.run(
        [objdump, "-d", "--no-show-raw-insn", f"--mcpu=hexagon{version}",
         f"--mattr=+hvx{version},+hvx-length128b{floats}", path],
        check=True, capture_output=True, text=True).stdout


def product_loops(text):
    """The loops with vrmpy of a disassembly: of each a list of packets, which are
    lists of instructions."""
    loops = []
    for function in re.split(r"\n(?=\w+ <)", text):
        packets = []
        for at, line in re.findall(r"^ *(\w+):\s+(.*)", function, re.M):
            if line.startswith("{"):
                packets.append((int(at, 16), []))
            instruction = re.sub(r"[{}]|:endloop\w+|<.*", "", line).strip()
            if packets and instruction:
                packets[-1][1].append(instruction)
            if packets and ":endloop0" in line:
                packets.append((-1, []))  # none: marks the end
        for start in re.findall(r"loop0\(0x(\w+)", function):
            first = next((n for n, (at, _) in enumerate(packets)
                          if at == int(start, 16)), None)
            if first is None:
                continue
            end = next((n for n in range(first, len(packets))
                        if packets[n][0] == -1), len(packets))
            loop = [instructions for _, instructions in packets[first:end]]
            if count(loop, "vrmpy"):
                loops.append(loop)
    return loops


def count(loop, what):
    return sum(what in instruction for packet in loop for instruction in packet)


def least(loop):
    """(packets of vector loads, of multipliers, of instructions)."""
    words = sum(bool(re.search(r"\.w \+?= vmpy", instruction))
                for packet in loop for instruction in packet)
    multipliers = count(loop, "vrmpy") + count(loop, "vsplat(") + 2 * words
    return (count(loop, "= vmem("), -(-multipliers // 2),
            -(-sum(map(len, loop)) // 4))


def version(package):
    """The version of the package's target, from its manifest."""
    for path in glob.glob(os.path.join(package, "*.json")):
        with open(path) as file:
            match = re.search(r'"hexagon-(v\d+)"', file.read())
        if match:
            return match.group(1)
    sys.exit(f"bound.py: {package}: no package for Hexagon")


def by_products(loops):
    """{vrmpy of a loop: (loops, least and most packets, vrmpy a packet over all,
    least(the one of fewest))}"""
    result = {}
    for products in sorted({count(loop, "vrmpy") for loop in loops}):
        same = [loop for loop in loops if count(loop, "vrmpy") == products]
        packets = [len(loop) for loop in same]
        result[products] = (len(same), min(packets), max(packets),
                            products * len(same) / sum(packets),
                            least(min(same, key=len)))
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("packages", nargs="+", metavar="PACKAGE")
    parser.add_argument("--llvm", default="/usr/lib/llvm-22/bin")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    for package in options.packages:
        archive, = glob.glob(os.path.join(package, "lib*.a"))
        loops = product_loops(disassemble(
            os.path.join(options.llvm, "llvm-objdump"), archive, version(package)))
        rows = by_products(loops)
        average = (sum(count(loop, "vrmpy") for loop in loops) /
                   max(1, sum(map(len, loops))))
        if options.json:
            print(json.dumps({"package": package, "version": version(package),
                              "average": average, "loops": rows}))
            continue
        print(f"{package}, {version(package)}: {len(loops)} loops, "
              f"{average:.2f} vrmpy a packet")
        for products, (n, low, high, ratio, bounds) in rows.items():
            print(f"  {products:3} vrmpy: {n:2} loops of {low} to {high} packets, "
                  f"{ratio:.3f} a packet; least: {max(bounds)} ({bounds[0]} by "
                  f"loads, {bounds[1]} multipliers, {bounds[2]} slots)")


if __name__ == "__main__":
    main()
