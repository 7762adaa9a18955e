# SPDX-License-Identifier: Apache-2.0
"""docs/command.md says what the command does: its synopsis names every option, and the example prints what it shows."""
import os
import re
import subprocess
import unittest

from support import FIL, SOURCE

with open(os.path.join(SOURCE, "docs/command.md")) as f:
    PAGE = f.read()


class Docs(unittest.TestCase):
    def fil(self, *args):
        return subprocess.run([FIL, *args], cwd=SOURCE, capture_output=True, text=True, check=True).stdout

    def test_the_options_of_the_page_are_those_of_the_command(self):
        synopsis = PAGE.split("```")[1]
        shared = set(re.findall(r"^\| `(--[a-z-]+)", PAGE, re.M))
        self.assertEqual(shared, {"--dim", "--plan", "--set", "--data-dir", "--threads", "--target-cpu", "--backend"})
        options = {}
        for line in synopsis.strip().splitlines():
            options.setdefault(line.split()[1], set()).update(re.findall(r"(?<![\w-])(--[a-z-]+|-o)\b", line))
        for command, said in options.items():
            if command.startswith("--"):
                continue
            has = set(re.findall(r"^ +(?:-h,)?(--[a-z-]+|-o)\b", self.fil(command, "--help"), re.M)) - {"--help"}
            expected = said | {"check": {"--dim"}, "plan": {"--dim", "--plan", "--set", "--target-cpu"}, "help": set(), "cache": set()}.get(command, shared)
            self.assertEqual(has, expected, command)

    def test_the_example_prints_what_it_shows(self):
        for block in re.findall(r"```\n\$ fil (.*?)\n(.*?)```", PAGE, re.S):
            out = self.fil(*block[0].split())
            for line in block[1].strip().splitlines():
                if line != "..":
                    self.assertIn(line + "\n", out)
        self.assertIn("$ fil ", PAGE)


if __name__ == "__main__":
    unittest.main()
