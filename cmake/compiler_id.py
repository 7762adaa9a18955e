#!/usr/bin/env python3
"""compiler_id.py OUT LIBRARY NEEDED..: writes what identifies the compiler: a hash over its library, and the libraries that it loads."""
import hashlib
import sys
import zlib

out, library, *needed = sys.argv[1:]
with open(library, "rb") as f:
    content = f.read()
with open(out, "w") as f:
    f.write('#include "tools/fil/compiler_library.h"\n'
            f'const char *const fil::compilerId = "{hashlib.sha256(content).hexdigest()}";\n'
            f"const unsigned fil::compilerSum = {zlib.crc32(content)}u;\n"
            f"const std::vector<const char *> fil::compilerNeeds = {{{', '.join(chr(34) + n + chr(34) for n in needed)}}};\n")
