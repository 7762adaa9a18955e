# SPDX-License-Identifier: Apache-2.0
"""Each rule of tools/lint catches what it is there for, and passes what is right."""
import os
import subprocess
import sys
import tempfile
import unittest

LINT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools", "lint", "lint.py")
SPDX = "// SPDX-License-Identifier: Apache-2.0\n"


def lint(files):
    with tempfile.TemporaryDirectory() as root:
        for path, text in files.items():
            os.makedirs(os.path.join(root, os.path.dirname(path)), exist_ok=True)
            with open(os.path.join(root, path), "w", encoding="utf-8") as f:
                f.write(text)
        done = subprocess.run([sys.executable, LINT, "--root", root], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout.strip().split("\n")


class Lint(unittest.TestCase):
    def refused(self, path, text, *words):
        code, lines = lint({path: text})
        self.assertEqual(code, 1, lines)
        self.assertEqual(len(lines), 2, lines)
        for word in words:
            self.assertIn(word, lines[0])

    def passed(self, path, text):
        code, lines = lint({path: text})
        self.assertEqual((code, len(lines)), (0, 1), lines)

    def test_arrows_run_one_way(self):
        for path, include in [("runtime/exec/a.cpp", '"ir/ir.h"'), ("runtime/exec/a.cpp", "<mlir/IR/Builders.h>"), ("ir/a.h", '"lang/ast/ast.h"'),
                              ("lang/sema/a.cpp", '"ir/ir.h"'), ("lang/sema/a.cpp", '"lang/parse/build.h"'), ("passes/train/a.cpp", '"passes/autodiff/passes.h"'),
                              ("codegen/cpu/a.cpp", '"runtime/exec/load.h"'), ("runtime/abi/a.h", "<vector>"), ("kernels/reference/a.cpp", '"runtime/base/log.h"'),
                              ("runtime/base/a.h", '"runtime/data/array.h"')]:
            self.refused(path, SPDX + "\n#include " + include + "\n", path + ":3:", include.strip('"<>'))

    def test_right_arrows_pass(self):
        for path, include in [("runtime/exec/a.cpp", '"runtime/data/array.h"'), ("lang/lower/a.cpp", '"ir/ir.h"'), ("passes/pipeline/a.cpp", '"passes/train/passes.h"'),
                              ("codegen/cpu/a.cpp", '"runtime/exec/executable.h"'), ("tools/fil/a.cpp", '"lang/sema/check.h"'), ("runtime/abi/a.h", "<stdint.h>"),
                              ("tests/lang/a.cpp", "<gtest/gtest.h>"), ("lang/parse/a.cpp", '"FiligreeParser.h"')]:
            self.passed(path, SPDX + "#include " + include + "\n")

    def test_third_parties_have_their_rooms(self):
        self.refused("lang/sema/a.cpp", SPDX + "#include <nlohmann/json.hpp>\n", "a.cpp:2:", "json")
        self.refused("runtime/exec/a.cpp", SPDX + "#include <spdlog/spdlog.h>\n", "a.cpp:2:", "spdlog")
        self.refused("lang/ast/a.cpp", SPDX + "#include <antlr4-runtime.h>\n", "a.cpp:2:", "antlr")

    def test_an_include_names_its_room(self):
        self.refused("ir/a.cpp", SPDX + '#include "b.h"\n', "a.cpp:2:", "room")

    def test_an_unknown_room_is_named(self):
        self.refused("extras/a.cpp", SPDX + "#include <vector>\n", "`extras` is no room")

    def test_the_licence_comes_first(self):
        self.refused("ir/a.td", "// a\n" + SPDX, "a.td:1:", "SPDX")
        self.passed("examples/01_a/a.fil", "dims B\n")

    def test_names_are_snake_case(self):
        self.refused("ir/myOps.md", "", "myOps.md")
        self.refused("ir/my-ops/a.md", "", "my-ops")
        self.passed("tools/fil-opt/main.cpp", SPDX)

    def test_passes_are_documented(self):
        one = 'def A : Pass<"fil-train-do-it", "m"> { let summary = "s"; }\n'
        two = 'def B : Pass<"fil-train-do-more", "m"> { let summary = "s"; let description = [{ What. }]; }\n'
        self.refused("passes/train/passes.td", SPDX + one + two, "passes.td:2:", "fil-train-do-it", "description")
        self.passed("passes/train/passes.td", SPDX + two)
        self.refused("passes/train/passes.td", SPDX + two.replace("fil-train", "fil-lora"), "fil-train-VERB-NOUN")

    def test_programs_of_tests_are_run(self):
        one = "fil_executable(test_one MLIR SOURCES one.cpp DEPS GTest::gtest_main)\n"
        self.refused("tests/ir/CMakeLists.txt", "# lit\n" + one + "add_test(NAME two COMMAND test_one_more)\n", "tests/ir/CMakeLists.txt:2:", "test_one")
        self.passed("tests/ir/CMakeLists.txt", one + "add_test(NAME one COMMAND test_one)\n")
        self.passed("tests/ir/CMakeLists.txt", one + "add_test(NAME one COMMAND run.py $<TARGET_FILE:test_one>)\n")

    def test_seeded_faults_apply(self):
        fault = "Fault: one\n\n--- a/tests/mutants/one.patch\n+++ b/tests/mutants/one.patch\n@@ -1 +1 @@\n-Fault: {}\n+Fault: two\n"
        self.refused("tests/mutants/one.patch", fault.format("none"), "tests/mutants/one.patch:1:", "does not apply")


if __name__ == "__main__":
    unittest.main()
