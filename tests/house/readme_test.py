#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compiles what the documentation shows: README's C++ example and
examples/chat-c. usage: readme_test.py ROOT C-COMPILER C++-COMPILER"""
import os
import re
import subprocess
import sys
import tempfile


def example(root):
    """The C++ block of README.md and the model's name in it."""
    with open(os.path.join(root, "README.md"), encoding="utf-8") as stream:
        text = re.search(r"```c\+\+\n(.*?)```", stream.read(), re.S).group(1)
    return text, re.search(r'#include "(\w+)\.h"', text).group(1)


def compile_file(command):
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    print(" ".join(command), result.stderr, sep="\n")
    return result.returncode == 0


def main():
    root, c_compiler, cxx_compiler = sys.argv[1:]
    text, name = example(root)
    flags = ["-fsyntax-only", "-Wall", "-Wextra", "-Werror",
             "-I" + os.path.join(root, "runtime/include")]
    with tempfile.TemporaryDirectory() as folder:
        # As the package's header declares them.
        header = os.path.join(folder, name + ".h")
        with open(header, "w", encoding="utf-8") as stream:
            stream.write(
                '#include "lfm/lfm.h"\n'
                '#ifdef __cplusplus\nextern "C" {\n#endif\n'
                f"extern const struct lfm_program {name}_program;\n"
                "#ifdef __cplusplus\n}\n#endif\n"
                f"lfm_status {name}_open(const char *, lfm_model **, char *, size_t);\n")
        source = os.path.join(folder, "example.cpp")
        with open(source, "w", encoding="utf-8") as stream:
            stream.write(text)
        ok = compile_file([cxx_compiler, "-std=c++17", *flags, "-I" + folder, source])
        ok &= compile_file([
            c_compiler, "-std=c99", *flags, "-I" + folder,
            f'-DMODEL_HEADER="{name}.h"', f"-DMODEL_OPEN={name}_open",
            '-DMODEL_WEIGHTS="model.weights"',
            os.path.join(root, "examples/chat-c/chat.c")])
    sys.exit(0 if ok else 1)


if __name__ == "__main__":
    main()
