#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""benchmarks/arm: which loop bound.py takes of a kernel, and what count.py reads
of the plugin's lines."""
import os
import shutil
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "../../benchmarks/arm"))
import bound  # noqa: E402
import count  # noqa: E402


def kernel(*instructions):
    return [(4 * n, i) for n, i in enumerate(instructions)]


class Bound(unittest.TestCase):
    def test_takes_the_innermost_loop_with_most_products(self):
        rows = kernel(
            "mov x1, #0",
            "sdot v0.4s, v1.16b, v2.4b[0]", "subs x2, x2, #1", "b.ne 0x4",
            "smmla v0.4s, v1.16b, v2.16b", "ldr q0, [x1]", "b.lt 0x10",
            "add x0, x0, #1", "b.ne 0x0")
        self.assertEqual(bound.inner_loop(rows), [
            "smmla v0.4s, v1.16b, v2.16b", "ldr q0, [x1]", "b.lt 0x10"])
        self.assertEqual(bound.multiply_adds(bound.inner_loop(rows)), 32)
        self.assertEqual(bound.multiply_adds(rows[1][1:]), 16)

    def test_a_kernel_without_products_has_no_loop(self):
        self.assertEqual(bound.inner_loop(kernel("ldr q0, [x1]", "b.ne 0x0")), [])

    @unittest.skipUnless(shutil.which("llvm-mca-22"), "NOT TESTED: no llvm-mca-22")
    def test_model_finds_the_bound(self):
        chain = ["sdot v0.4s, v1.16b, v2.4b[0]"] * 8 + ["subs x2, x2, #1", "b.ne 0x0"]
        free = [f"sdot v{n}.4s, v17.16b, v18.4b[0]" for n in range(16)] + chain[-2:]
        cycles, port, *_ = bound.model("llvm-mca-22", chain, "neoverse-n1")
        self.assertLess(port, 0.6)  # latency
        self.assertGreater(cycles, 7.5)
        self.assertGreater(bound.model("llvm-mca-22", free, "neoverse-n1")[1], 0.9)
        self.assertIsNone(bound.model("llvm-mca-22", ["nonsense x1"], "neoverse-n1"))

    @unittest.skipUnless(shutil.which("llvm-mca-22"), "NOT TESTED: no llvm-mca-22")
    def test_what_a_model_lacks_is_not_free(self):
        loop = [f"sdot\tv{n}.4s, v17.16b, v18.4b[3]" for n in range(8)]
        loop += [f"scvtf\tv{n + 8}.4s, v17.4s, #4" for n in range(8)]
        loop += ["subs x2, x2, #1", "b.ne 0x0"]
        cycles, *_ = bound.model("llvm-mca-22", loop, "oryon-1")
        self.assertGreaterEqual(cycles, 4)  # 16 operations on 4 pipes


class Count(unittest.TestCase):
    def test_reads_counts_and_functions(self):
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
            file.write("30 f=20 g=h=10\n5\n")
            file.flush()
            self.assertEqual(count.read(file.name),
                             [(30, {"f": 20, "g=h": 10}), (5, {})])


if __name__ == "__main__":
    unittest.main()
