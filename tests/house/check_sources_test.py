#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests check_sources.py on small trees with one violation each."""
import os
import tempfile
import unittest

import check_sources

SPDX = "// SPDX-License-Identifier: Apache-2.0\n"


class CheckSources(unittest.TestCase):
    def violations(self, path, text):
        with tempfile.TemporaryDirectory() as root:
            os.makedirs(os.path.join(root, os.path.dirname(path)), exist_ok=True)
            with open(os.path.join(root, path), "w", encoding="utf-8") as stream:
                stream.write(text)
            return check_sources.check(root)

    def assertFinds(self, path, text, words):
        found = self.violations(path, text)
        self.assertEqual(len(found), 1, found)
        self.assertIn(words, found[0])

    def assertClean(self, path, text):
        self.assertEqual(self.violations(path, text), [])

    def test_includes(self):
        for path, name in [("runtime/src/a.cpp", "mlir/IR/Types.h"),
                           ("runtime/src/a.cpp", "targets/Target.h"),
                           ("dialects/a.cpp", "passes/Passes.h"),
                           ("targets/a.h", "passes/Passes.h"),
                           ("frontend/a.cpp", "passes/Passes.h"),
                           ("passes/fuse/a.cpp", "codegen/Codegen.h"),
                           ("codegen/llvm/a.cpp", "tools/lfmc/a.h")]:
            self.assertFinds(path, f'{SPDX}#include "{name}"\n', "may not include")
        self.assertFinds("dialects/a.td", f'{SPDX}include "passes/Passes.td"\n',
                         "may not include")
        self.assertFinds("codegen/llvm/a.cpp", f"{SPDX}#include <Halide.h>\n",
                         "only codegen/halide")

    def test_allowed_includes(self):
        self.assertClean("codegen/halide/a.cpp", f'{SPDX}#include "Halide.h"\n')
        self.assertClean("passes/a.cpp", f'{SPDX}#include "targets/Target.h"\n')
        self.assertClean("codegen/a.cpp", f'{SPDX}#include "lfm/program.h"\n')
        self.assertClean("tests/a.cpp", f'{SPDX}#include "codegen/Codegen.h"\n')

    def test_names(self):
        self.assertFinds("docs/a.md", "see /" + "work/main\n", "one machine")
        self.assertFinds("docs/a.md", "see .." + "/shared/x\n", "outside")
        self.assertFinds("scripts/a", "https://pypi" + ".org/simple\n", "registry")
        self.assertFinds("passes/a.cpp", SPDX + "// TO" + "DO: later\n", "unfinished")
        self.assertClean("docs/a.md", "the frame/workspace/ and ~/worksheet\n")

    def test_files(self):
        self.assertFinds("passes/a.cpp", "int a;\n", "SPDX")
        self.assertFinds("passes/a.cpp", SPDX + "\n" * 400, "lines")
        self.assertFinds("passes/a.td", SPDX + "(* example filepath=tests/x *)\n",
                         "no such example")
        self.assertClean("build/passes/a.cpp", "int a;\n")


if __name__ == "__main__":
    unittest.main()
