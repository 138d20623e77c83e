# SPDX-License-Identifier: Apache-2.0
# lit tests: every .mlir and .test file below tests/, but for folders called
# Inputs and tests/data. Tools are found by name: lfmc, lfmc-opt, lfmc-run,
# FileCheck, not. %data is tests/data.
import os

import lit.formats

config.name = "lfmc"
config.test_format = lit.formats.ShTest(execute_external=False)
config.suffixes = [".mlir", ".test"]
config.excludes = ["Inputs", "data", "CMakeLists.txt"]
config.test_source_root = os.path.dirname(__file__)
config.test_exec_root = os.path.join(config.lfmc_binary_root, "tests")

for tool in ("lfmc", "lfmc-opt", "lfmc-run", "lfmc-reduce"):
    path = os.path.join(config.lfmc_tools, tool)
    if os.path.exists(path):
        config.available_features.add(tool)
if config.sanitize:
    config.available_features.add("sanitize")

config.environment["PATH"] = os.pathsep.join(
    [config.lfmc_tools, config.llvm_tools, os.environ.get("PATH", "")])
for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS"):
    if name in os.environ:
        config.environment[name] = os.environ[name]

# FileCheck may carry a version in its name.
config.substitutions.append((r"\bFileCheck(-22)?\b", config.filecheck))
config.substitutions.append(("%data", os.path.join(config.test_source_root, "data")))
