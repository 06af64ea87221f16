#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes the migrations as one C source: embed_migrations.py OUTPUT NNNN_name.sql...

Numbers must run from 1 without a gap; the build fails otherwise.
"""
import os
import re
import sys


def c_string(text):
    lines = []
    for line in text.splitlines(keepends=True):
        escaped = line.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        lines.append('\t\t"' + escaped.replace("\t", "\\t").replace("?", "\\?") + '"')
    return "\n".join(lines)


def main():
    output, inputs = sys.argv[1], sorted(sys.argv[2:], key=os.path.basename)
    entries = []
    for number, path in enumerate(inputs, start=1):
        name = os.path.basename(path)
        match = re.fullmatch(r"(\d{4})_([a-z0-9_]+)\.sql", name)
        if not match or int(match.group(1)) != number:
            sys.exit(f"{name}: expected {number:04d}_NAME.sql")
        with open(path, encoding="utf-8") as file:
            body = c_string(file.read())
        entries.append(f'\t{{\n\t\t{number}, "{match.group(2)}",\n{body},\n\t}},\n')
    with open(output, "w", encoding="utf-8") as file:
        file.write('#include "schedd/migrations.h"\n\n')
        file.write("const struct migration migrations[] = {\n" + "".join(entries) + "};\n")
        file.write(f"const unsigned n_migrations = {len(entries)};\n")


main()
