#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The text of the demo: all fortune cookies of Debian's package `fortunes`, sorted by file name, so that it is the same everywhere.

    fortunes.py OUT [FOLDER]
"""
import os
import sys


def main(out, folder="/usr/share/games/fortunes"):
    names = sorted(n for n in os.listdir(folder) if not n.endswith((".dat", ".u8")) and os.path.isfile(os.path.join(folder, n)))
    text = b""
    for name in names:
        with open(os.path.join(folder, name), "rb") as f:
            text += f.read()
    if len(text) < 1_000_000:
        sys.exit(f"{folder} has {len(text)} bytes of text, at least 1 MB is needed: is the package `fortunes` installed whole?")
    with open(out, "wb") as f:
        f.write(text)
    print(f"{out}: {len(text):,} bytes from {len(names)} files of {folder}", file=sys.stderr)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(*sys.argv[1:])
