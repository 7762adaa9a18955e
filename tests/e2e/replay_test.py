# SPDX-License-Identifier: Apache-2.0
"""A run done again by its tape."""
import json
import os
import unittest

from support import CHAR, CharTest, read_checkpoint

PLANS = """
plan edited for Char from p { train { steps 9 }; sparsity { q: set density=0.5 every=2 granule=2x2 }; require { deterministic replay } }
plan tuned for Char from edited { lora { k: r=2 } }
plan strict for Char from edited { require { loss <= 0.001 } }
"""


class Replay(CharTest):
    plans = PLANS

    def replay(self, out, *more, **expected):
        return self.fil("replay", f"{out}/tape.jsonl", *more, **expected)[1]

    def weights(self, out):
        return read_checkpoint(self.path(f"{out}/last.safetensors"))[1]

    def test_a_run_is_done_again_to_the_bit(self):
        self.train("edited", "o", "--steps", "5")
        self.train("edited", "o", "--resume")
        self.write("c.fil", "nothing of this is read")  # the tape has the program
        self.assertIn("the same to the bit: 2 checkpoints, 3 edits", self.replay("o"))
        self.assertIn("the same to the bit", self.replay("o", "--threads", "1", "--out", "again"))
        self.assertEqual(self.weights("o"), self.weights("again"))
        self.assertFalse(os.path.exists(self.path("again/tape.jsonl")))

    def test_a_part_of_a_run(self):
        self.train("edited", "o")
        self.write("k.fil", CHAR + PLANS)
        self.fil("train", "k.fil", "--plan", "edited", "--out", "part", "--steps", "4")
        self.assertIn("1 edits", self.replay("o", "--until", "4", "--out", "again"))
        self.assertEqual(self.weights("part"), self.weights("again"))
        self.assertIn("nothing on the tape up to there", self.replay("o", "--until", "1"))
        self.replay("o", "--until", "10", exit=2, code="E0108")

    def test_what_it_began_with_is_found_again(self):
        self.train("edited", "base")
        self.train("tuned", "o", "--weights", "base/last.safetensors", "--seed", "11")
        self.assertIn("the same to the bit", self.replay("o"))
        self.train("edited", "base", "--seed", "12")
        self.assertIn("has changed since", self.replay("o", exit=1, code="E0524"))

    def test_a_missed_contract_is_no_difference(self):
        self.train("strict", "o", exit=3, code="E0705")
        self.assertIn("the same to the bit", self.replay("o"))

    def test_a_difference_is_named(self):
        self.train("edited", "o")
        with open(self.path("o/tape.jsonl")) as f:
            lines = f.read().splitlines()
        edit = json.loads(lines[1])
        name = next(iter(edit["edit"]))
        edit["edit"][name] = "0" * 16
        self.write("o/tape.jsonl", "\n".join([lines[0], json.dumps(edit)] + lines[2:]) + "\n")
        self.assertIn(f"after step {edit['step']} the mask `{name}` differs", self.replay("o", exit=3, code="E0707"))
        os.rename(self.path("t.txt"), self.path("u.txt"))
        self.replay("o", exit=1, code="E0501")

    def test_what_is_no_tape_is_refused(self):
        self.train("edited", "o")
        with open(self.path("o/tape.jsonl")) as f:
            head = f.readline()
        for line in ("[1,2]", '{"step": 3, "edit": {}}', '{"step": "3", "state": {"all": "0"}}'):
            self.write("bad.jsonl", head + line + "\n")
            self.fil("replay", "bad.jsonl", exit=1, code="E0524")
        self.write("bad.jsonl", head + '{"step": 2, "edit": {"q": "0"}}\n')
        self.assertIn("behind step 2 the tape has an edit", self.fil("replay", "bad.jsonl", exit=3, code="E0707")[1])
        for text in ("", "{}\n", "[1]\n", "\x00\xff\n", '{"step": 0, "tape": 2}\n'):
            self.write("bad.jsonl", text)
            self.fil("replay", "bad.jsonl", exit=1, code="E0524")
        for text in ("", '{"step": 0, "plan": 5}\n'):
            self.train("edited", "o", "--steps", "3")
            self.write("o/tape.jsonl", text)
            self.assertIn("the folder has no tape", self.train("edited", "o", "--resume"))
        self.train("edited", "o", "--steps", "3")
        self.train("edited", "o", "--resume", "--set", "train.optim.lr=1e-3")
        self.assertIn("the same to the bit", self.replay("o"))  # as far as it went by the first plan
        self.assertIn("went on by another plan", self.replay("o", "--until", "9", exit=1, code="E0524"))


if __name__ == "__main__":
    unittest.main()
