# Writes a hash over LIBRARY as `compilerId` into OUT.
file(SHA256 ${LIBRARY} hash)
file(WRITE ${OUT} "#include \"tools/fil/compiler_library.h\"\nconst char *const fil::compilerId = \"${hash}\";\n")
