# SPDX-License-Identifier: Apache-2.0
"""A program that is timed by turns, in a process of its own."""
import json
import os
import subprocess


class Side:
    """A process that stays warm and does what a line says; idle meanwhile."""

    def __init__(self, command, env={}):
        self.process = subprocess.Popen([str(c) for c in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **env})
        self.ready = self.read()
        self.calls = None

    def read(self):
        line = self.process.stdout.readline().strip()
        if not line:
            raise SystemExit(f"{' '.join(self.process.args)} ended")
        return line

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.read()

    def number(self, line):
        return float(self.ask(line))

    def turn(self):
        """Seconds of a call, the mean of as many as make a turn of some 20 ms, after one that does not count where calls are short."""
        if self.calls is None:
            self.number("run 1 1")
            self.calls = max(1, min(200, int(0.02 / self.number("run 0 1"))))
        return self.number(f"run {int(self.calls > 1)} {self.calls}")

    def results(self, what="sample"):
        return json.loads(self.ask(what))

    def close(self):
        self.process.stdin.write("quit\n")
        self.process.stdin.close()
        self.process.wait()
