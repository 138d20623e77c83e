#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes UnicodeTables.inc: the classes that the split expressions know.

usage: generate_unicode.py > UnicodeTables.inc   (needs unicodedata2 16.0.0,
the Unicode version of the reference tokenizer's regular expressions)

A class is one of four bits-pairs: 0 other, 1 \\p{L}, 2 \\p{N}, 3 \\s; bit 2
says \\w. Two stages: page number of each block of 256 code points, then four
bits per code point, low nibble first.
"""
import sys
import unicodedata2

SPACES = [(0x09, 0x0D), (0x20, 0x20), (0x85, 0x85), (0xA0, 0xA0),
          (0x1680, 0x1680), (0x2000, 0x200A), (0x2028, 0x2029),
          (0x202F, 0x202F), (0x205F, 0x205F), (0x3000, 0x3000)]
# Alphabetic beyond \p{L}, \p{M} and \p{Nl}: circled and squared letters.
ALPHABETIC = [(0x24B6, 0x24E9), (0x1F130, 0x1F149), (0x1F150, 0x1F169),
              (0x1F170, 0x1F189)]
JOIN_CONTROL = [(0x200C, 0x200D)]


def within(code, ranges):
    return any(low <= code <= high for low, high in ranges)


def code_class(code):
    category = unicodedata2.category(chr(code))
    if within(code, SPACES):
        kind = 3
    else:
        kind = {"L": 1, "N": 2}.get(category[0], 0)
    word = (category[0] in "LM" or category in ("Nd", "Nl", "Pc")
            or within(code, ALPHABETIC) or within(code, JOIN_CONTROL))
    return kind | (4 if word else 0)


def rows(values):
    for i in range(0, len(values), 32):
        print("    " + ",".join(map(str, values[i:i + 32])) + ",")


def main():
    if unicodedata2.unidata_version != "16.0.0":
        sys.exit("expected Unicode 16.0.0, found " +
                 unicodedata2.unidata_version)
    pages, index = {}, []
    for block in range(0x110000 // 256):
        codes = [code_class(block * 256 + i) for i in range(256)]
        page = tuple(codes[i] | codes[i + 1] << 4 for i in range(0, 256, 2))
        index.append(pages.setdefault(page, len(pages)))
    assert len(pages) <= 256
    print("// SPDX-License-Identifier: Apache-2.0")
    print("// Written by generate_unicode.py from Unicode 16.0.0; do not edit.")
    print("// clang-format off")
    print("static const unsigned char kUnicodeIndex[%d] = {" % len(index))
    rows(index)
    print("};\nstatic const unsigned char kUnicodePages[%d][128] = {" % len(pages))
    for page in pages:
        print("  {")
        rows(page)
        print("  },")
    print("};")


if __name__ == "__main__":
    main()
