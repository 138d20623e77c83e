#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""benchmarks/hexagon: which loops bound.py finds and what it counts of them."""
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "../../benchmarks/hexagon"))
import bound  # noqa: E402

# As llvm-objdump writes it: a loop without products, then one with two.
TEXT = """
00000000 <first>:
       0:\t{ \tloop0(0x8,#16)
       4:\t  \tr1 = add(r1,#1) }
       8:\t{ \tv0.w += vmpyo(v1.w,v2.h):<<1:sat:shift
       c:\t  \tv3 = vmem(r1++#1) }  :endloop0
      10:\t{ \tv0.w += vrmpy(v1.ub,r1.b) }

00000014 <second>:
      14:\t{ \tloop0(0x18,#16) }
      18:\t{ \tv0.w += vrmpy(v1.ub,r1.b)
      1c:\t  \tv4.w += vrmpy(v1.ub,r2.b)
      20:\t  \tv1 = vmem(r1++#1) }
      24:\t{ \tv5.w = vmpyio(v0.w,v6.h)
      28:\t  \tv7.cur = vmem(r1++#1)
      2c:\t  \tv9 = vsplat(r3) }  :endloop0
      30:\t{ \tjumpr r31 }
"""


class Bound(unittest.TestCase):
    def test_finds_loops_with_products(self):
        self.assertEqual(bound.product_loops(TEXT), [[
            ["v0.w += vrmpy(v1.ub,r1.b)", "v4.w += vrmpy(v1.ub,r2.b)",
             "v1 = vmem(r1++#1)"],
            ["v5.w = vmpyio(v0.w,v6.h)", "v7.cur = vmem(r1++#1)",
             "v9 = vsplat(r3)"]]])

    def test_counts_what_fills_packets(self):
        loop, = bound.product_loops(TEXT)
        # Multipliers: a vrmpy and a splat one, a product of words two.
        self.assertEqual(bound.least(loop), (2, 3, 2))
        longer = loop + [["r1 = r2"]]
        self.assertEqual(bound.by_products([loop, longer, loop]),
                         {2: (3, 2, 3, 6 / 7, (2, 3, 2))})


if __name__ == "__main__":
    unittest.main()
