# SPDX-License-Identifier: Apache-2.0
"""The demo goes the whole way, at a size that the reference back end takes in seconds; and its bigram model counts rightly."""
import math
import os
import subprocess
import sys
import unittest

from support import FIL, SOURCE, CommandTest

sys.path.insert(0, os.path.join(SOURCE, "tools/demo"))
import bigram  # noqa: E402


class Demo(CommandTest):
    def test_the_whole_way(self):
        r = subprocess.run([os.path.join(SOURCE, "tools/demo/demo.sh"), FIL, self.path("demo"), "--tiny", "--backend=reference"], capture_output=True, timeout=300)
        self.assertEqual(r.returncode, 0, r.stderr)
        out = r.stdout.decode(errors="replace")
        self.assertRegex(out, r"validation loss \d\.\d+ +bigram model \d\.\d+ +\d\.\d+ nats below")
        text = out.split("--- sampled text ---\n")[1].split("\n---\n")[0]
        words = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu".split()
        self.assertGreater(sum(w in words for w in text.split()), len(text.split()) / 4, text)

    def test_bigram_loss_by_hand(self):
        # Trained on "ababab" (pairs ab 3, ba 2), held out "abc": b after a, c after b.
        expected = (math.log((3 + 256) / (3 + 1)) + math.log((2 + 256) / (0 + 1))) / 2
        self.assertAlmostEqual(bigram.bigram_loss(b"ababababc"[:9], 6 / 9), expected)

    def test_it_fails_where_the_model_is_not_better(self):
        self.write("text", "ab" * 500)
        self.write("metrics.jsonl", '{"step": 1, "valid_loss": 2.0}\n{"step": 2}\n')
        r = subprocess.run([sys.executable, os.path.join(SOURCE, "tools/demo/bigram.py"), self.path("text"), self.path("metrics.jsonl"), "0.3"], capture_output=True)
        self.assertEqual(r.returncode, 1)
        self.assertIn(b"ABOVE", r.stdout)


if __name__ == "__main__":
    unittest.main()
