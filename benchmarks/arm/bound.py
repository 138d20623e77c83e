#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What bounds the inner loops of a package's quantized matrices, as llvm-mca
models a core: cycles of an iteration, the share of them that its busiest port
and its dispatch would take alone (1: bound by that), and the share in which
nothing is dispatched (high: bound by latency, or by a full queue).

Where the model of oryon-1 lacks an instruction (sdot by lane, scvtf), another
that takes the same pipes stands for it; what else a model lacks counts as
nothing.

usage: bound.py PACKAGE [--cpu neoverse-n1,cortex-x4] [--llvm DIRECTORY]

A loop is the innermost one with the most products (sdot, smmla) of its kernel;
of kernels with the same loop, one is shown.
"""
import argparse
import glob
import os
import re
import subprocess
import tempfile

PRODUCTS = {"sdot": 64, "usdot": 64, "smmla": 128}


def disassemble(objdump, path):
    """[(address, instruction)] of an object file."""
    text = subprocess.run([objdump, "-d", "--no-show-raw-insn",
                           "--mattr=+dotprod,+i8mm", path],
                          check=True, capture_output=True, text=True).stdout
    rows = re.findall(r"^\s*([0-9a-f]+):\s+(.*)$", text, re.M)
    return [(int(a, 16), re.sub(r"\s*(//|<).*$", "", i).strip()) for a, i in rows]


def multiply_adds(instructions):
    return sum(PRODUCTS.get(i.split()[0], 0) // 4 for i in instructions)


def inner_loop(rows):
    """The instructions of the loop with the most products a byte; [] if none."""
    best = (0, [])
    for n, (address, instruction) in enumerate(rows):
        match = re.match(r"(?:b\.\w+|cbnz|tbnz)\s.*?(0x[0-9a-f]+)$", instruction)
        target = int(match.group(1), 16) if match else address + 1
        if target > address:
            continue
        body = [i for a, i in rows[:n + 1] if a >= target]
        if any(re.match(r"b\.|cb|tb", i) for i in body[:-1]):
            continue  # not innermost
        best = max(best, (multiply_adds(body), body), key=lambda b: b[0])
    return best[1]


def modelled(instruction, cpu):
    if cpu == "oryon-1":
        instruction = re.sub(r"\.4b\[[0-3]\]", ".16b", instruction)
        instruction = re.sub(r"^scvtf(\s+v\d+\.4s, v\d+\.4s).*", r"frintn\1",
                             instruction)
    return instruction


def model(mca, loop, cpu):
    """(cycles; shares of the busiest port, of dispatch, of idle cycles) of an
    iteration."""
    text = "\n".join(["loop:"] + [modelled(i, cpu) for i in loop[:-1]] +
                     [re.sub(r"0x[0-9a-f]+$", "loop", loop[-1])]) + "\n"
    with tempfile.NamedTemporaryFile("w", suffix=".s") as file:
        file.write(".arch armv8.6-a+dotprod+i8mm\n" + text)
        file.flush()
        answer = subprocess.run(
            [mca, "-mtriple=aarch64", f"-mcpu={cpu}", "-mattr=+dotprod,+i8mm",
             "-iterations=100", "-instruction-info=false", "-dispatch-stats",
             "-skip-unsupported-instructions=lack-sched", file.name],
            capture_output=True, text=True)
    if answer.returncode:
        return None
    def number(name):
        return int(re.search(name + r":\s+(\d+)", answer.stdout).group(1))

    cycles = number("Total Cycles") / 100
    dispatch = number("Total uOps") / 100 / number("Dispatch Width")
    line = answer.stdout.split("Resource pressure per iteration:")[1]
    line = line.strip().splitlines()[1]
    ports = [float(p) for p in re.findall(r"\d+\.\d+", line)]
    idle = re.search(r"^ 0,\s+(\d+)", answer.stdout, re.M)
    return (cycles, max(ports) / cycles, dispatch / cycles,
            int(idle.group(1)) / 100 / cycles if idle else 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("package")
    parser.add_argument("--cpu", default="neoverse-n1,cortex-x4,oryon-1,cortex-a55")
    parser.add_argument("--llvm", default="/usr/lib/llvm-22/bin")
    options = parser.parse_args()
    seen = set()
    with tempfile.TemporaryDirectory() as folder:
        archive, = glob.glob(os.path.join(options.package, "lib*.a"))
        subprocess.run([os.path.join(options.llvm, "llvm-ar"), "x",
                        os.path.abspath(archive)], check=True, cwd=folder)
        for path in sorted(glob.glob(os.path.join(folder, "*linear_q*.o"))):
            loop = inner_loop(disassemble(
                os.path.join(options.llvm, "llvm-objdump"), path))
            key = tuple(i.split()[0] for i in loop)
            if not multiply_adds(loop) or key in seen:
                continue
            seen.add(key)
            count = multiply_adds(loop)
            print(f"{os.path.basename(path)}: {len(loop)} instructions, "
                  f"{count} products ({count / len(loop):.1f} each)")
            for cpu in options.cpu.split(","):
                result = model(os.path.join(options.llvm, "llvm-mca"), loop, cpu)
                print(f"  {cpu:14}" + (f"{result[0]:8.1f} cycles, port "
                                       f"{result[1]:.2f}, dispatch {result[2]:.2f}"
                                       f", idle {result[3]:.2f}"
                                       if result else "  no such model"))


if __name__ == "__main__":
    main()
