# Writes the text of IN as the string NAME into OUT.
file(READ ${IN} text)
file(WRITE ${OUT} "#include \"tools/driver/std_text.h\"\nconst std::string_view fil::stdText = R\"__FIL__(${text})__FIL__\";\n")
