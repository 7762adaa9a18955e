# SPDX-License-Identifier: Apache-2.0
"""Tests of the dialect and of single passes: one file for each, checked by FileCheck. Every valid input also round-trips through text
and bytecode: that is one switch of %fil-opt. %fil-errors expects the errors that its input announces."""
import os
import lit.formats

build = os.path.abspath(lit_config.params["build"])
config.name = "Filigree"
config.test_format = lit.formats.ShTest(True)
config.suffixes = [".mlir"]
config.test_source_root = os.path.dirname(__file__)
config.test_exec_root = os.path.join(build, "tests", "lit")
opt = os.path.join(build, "bin", "fil-opt")
config.substitutions.append(("%fil-opt", opt + " --verify-roundtrip"))
config.substitutions.append(("%fil-errors", opt + " --split-input-file --verify-diagnostics"))
config.environment["PATH"] = os.pathsep.join([lit_config.params["llvm"], os.environ.get("PATH", "")])
