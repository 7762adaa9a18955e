# SPDX-License-Identifier: Apache-2.0
"""`fil train` as users and scripts meet it."""
import os
import random
import shutil
import signal
import subprocess
import time
import unittest

from support import FIL, CommandTest, read_checkpoint


class Train(CommandTest):
    def test_a_run_leaves_checkpoint_metrics_and_log(self):
        out, err = self.fil("train", "c.fil", "--plan", "p", "--out", "o")
        self.assertEqual(out, b"")
        self.assertIn("step 12/12", err)
        self.assertIn("step 12: validation loss", err)
        lines = self.lines("o")
        self.assertEqual([l["step"] for l in lines], list(range(1, 13)))
        for l in lines:
            self.assertEqual(list(l)[:6], ["step", "loss", "grad_norm", "lr", "seconds", "tokens_per_s"])
            self.assertEqual("valid_loss" in l, l["step"] in (5, 10, 12))
        self.assertLess(lines[-1]["loss"], lines[0]["loss"])
        self.assertAlmostEqual(lines[0]["lr"], 0.005)
        metadata, tensors = read_checkpoint(self.path("o/last.safetensors"))
        self.assertEqual((metadata["step"], metadata["seed"], metadata["plan_name"], metadata["model"]), ("12", "3", "p", "Char"))
        self.assertIn("steps 12", metadata["plan"])
        self.assertEqual(tensors["l[1].Attention.q"][:2], ("F32", [8, 2, 4]))
        self.assertIn("l[1].Attention.q#m", tensors)
        with open(self.path("o/train.log")) as f:
            self.assertIn("checkpoint written", f.read())

    def test_resume_goes_on_bit_for_bit_and_steps_count_from_zero(self):
        self.fil("train", "c.fil", "--plan", "p", "--out", "whole")
        self.fil("train", "c.fil", "--plan", "p", "--out", "parts", "--steps", "3")
        self.assertEqual(len(self.lines("parts")), 3)
        self.assertAlmostEqual(self.lines("parts")[-1]["lr"], self.lines("whole")[2]["lr"], places=15)
        self.fil("train", "c.fil", "--plan", "p", "--out", "parts", "--resume", "--steps", "7")
        self.assertEqual(read_checkpoint(self.path("parts/last.safetensors"))[0]["step"], "7")
        self.fil("train", "c.fil", "--plan", "p", "--out", "parts", "--resume")
        self.assertEqual(self.tensors("whole"), self.tensors("parts"))
        same = ("step", "loss", "grad_norm", "lr", "valid_loss")
        self.assertEqual([[l.get(k) for k in same] for l in self.lines("whole")], [[l.get(k) for k in same] for l in self.lines("parts")])

    def test_resume_keeps_what_the_first_command_said(self):
        self.fil("train", "c.fil", "--plan", "p", "--out", "whole", "--seed", "5", "--dim", "L=1")
        self.fil("train", "c.fil", "--plan", "p", "--out", "parts", "--seed", "5", "--dim", "L=1", "--steps", "4")
        self.fil("train", "c.fil", "--plan", "p", "--out", "parts", "--resume", "--seed", "6", exit=1, code="E0513")
        self.fil("train", "c.fil", "--plan", "p", "--out", "parts", "--resume", "--dim", "L=2", exit=1, code="E0513")
        self.write("u.txt", "another text, longer. " * 90)
        self.fil("train", "c.fil", "--plan", "p", "--out", "parts", "--resume", "--data", "u.txt", exit=1, code="E0513")
        self.fil("train", "c.fil", "--plan", "each", "--out", "parts", "--resume", exit=1, code="E0513")
        self.fil("train", "c.fil", "--plan", "p", "--out", "parts", "--resume")
        self.assertEqual(self.tensors("whole"), self.tensors("parts"))

    def test_resume_needs_a_checkpoint(self):
        self.fil("train", "c.fil", "--plan", "p", "--out", "none", "--resume", exit=1, code="E0501")

    def test_weights_begin_at_step_zero(self):
        self.fil("train", "c.fil", "--plan", "p", "--out", "a")
        self.fil("train", "c.fil", "--plan", "p", "--out", "b", "--weights", "a/last.safetensors", "--steps", "0")
        metadata, tensors = read_checkpoint(self.path("b/last.safetensors"))
        self.assertEqual(metadata["step"], "0")
        before = self.tensors("a")
        self.assertEqual(tensors["emb"], before["emb"])
        self.assertNotEqual(before["emb#m"][2].strip(b"\0"), b"")
        self.assertEqual(tensors["emb#m"][2].strip(b"\0"), b"")
        self.fil("train", "c.fil", "--plan", "p", "--out", "b", "--weights", "a/last.safetensors", "--resume", exit=2, code="E0108")

    def test_seed_and_steps_decide_and_threads_do_not(self):
        self.fil("train", "c.fil", "--plan", "p", "--out", "a", "--steps", "3", "--threads", "1")
        self.fil("train", "c.fil", "--plan", "p", "--out", "b", "--steps", "3", "--threads", "2")
        self.fil("train", "c.fil", "--plan", "p", "--out", "c", "--steps", "3", "--seed", "4")
        self.assertEqual(self.tensors("a"), self.tensors("b"))
        self.assertNotEqual(self.tensors("a")["emb"], self.tensors("c")["emb"])

    def test_data_takes_the_place_of_the_only_file(self):
        os.rename(self.path("t.txt"), self.path("other.txt"))
        _, err = self.fil("train", "c.fil", "--plan", "p", "--out", "o", exit=1, code="E0501")
        self.assertIn("t.txt", err)
        self.fil("train", "c.fil", "--plan", "p", "--out", "o", "--data", "other.txt", "--steps", "1")
        self.fil("train", "c.fil", "--plan", "two", "--out", "o", "--data", "other.txt", exit=2, code="E0108")

    def test_files_of_a_plan_lie_in_the_data_folder_else_beside_it(self):
        os.mkdir(self.path("data"))
        os.rename(self.path("t.txt"), self.path("data/t.txt"))
        self.fil("train", "c.fil", "--plan", "p", "--out", "o", "--steps", "1", "--data-dir", "data")
        os.rename(self.path("c.fil"), self.path("data/c.fil"))
        self.fil("train", "data/c.fil", "--plan", "p", "--out", "o", "--steps", "1")

    def test_arrays_epochs_metrics_and_contracts(self):
        self.fil("train", "k.fil", "--plan", "p", "--out", "o")
        lines = self.lines("o")
        self.assertEqual(len(lines), 14)  # 27 of 30 samples, 7 batches an epoch, the last of 3
        self.assertEqual([l["step"] for l in lines if "accuracy" in l], [7, 14])
        self.assertTrue(all("samples_per_s" in l and "tokens_per_s" not in l for l in lines))
        self.fil("train", "k.fil", "--plan", "easy", "--out", "o")
        _, err = self.fil("train", "k.fil", "--plan", "hard", "--out", "h", exit=3, code="E0705")
        self.assertIn("accuracy >= 0.9999", err)
        self.assertEqual(read_checkpoint(self.path("h/last.safetensors"))[0]["step"], "14")
        self.fil("train", "k.fil", "--plan", "hard", "--out", "h2", "--steps", "3")  # not its end

    def test_set_changes_the_plan_and_the_checkpoint_carries_that(self):
        self.fil("train", "c.fil", "--plan", "p", "--out", "o", "--set", "train.steps=6", "train.batch=2", "--steps", "2")
        self.assertIn("steps 6", read_checkpoint(self.path("o/last.safetensors"))[0]["plan"])
        self.fil("train", "c.fil", "--plan", "p", "--out", "o", "--resume")
        self.assertEqual(self.lines("o")[-1]["step"], 6)
        self.fil("train", "c.fil", "--plan", "p", "--out", "o", "--resume", "--set", "train.steps=8")
        self.assertEqual(self.lines("o")[-1]["step"], 8)
        self.fil("train", "c.fil", "--plan", "p", "--out", "o", "--set", "train.stepz=6", exit=1, code="P0401")
        self.fil("train", "c.fil", "--plan", "p", "--out", "o", "--set", "steps", exit=1, code="P0422")

    def test_precision_decides_the_format_of_the_checkpoint(self):
        self.fil("train", "c.fil", "--plan", "p", "--out", "o", "--set", "precision.default=f64", "--steps", "1")
        self.assertEqual(self.tensors("o")["emb"][0], "F64")
        self.assertEqual(len(self.fil("sample", "c.fil", "--weights", "o/last.safetensors", "--tokens", "4")[0]), 4)

    def test_clauses_that_nothing_acts_on_are_refused(self):
        self.write("r.fil", "plan r for Char from p { precision { default fp8 } }\n")
        _, err = self.fil("train", "c.fil", "r.fil", "--plan", "r", "--out", "o", exit=1, code="E0604")
        self.assertIn("r.fil:1:", err)

    def test_a_loss_that_is_no_number_is_exit_3_and_names_the_step(self):
        _, err = self.fil("train", "c.fil", "--plan", "wild", "--out", "o", exit=3, code="E0706")
        self.assertRegex(err, r"step \d+ is (-?nan|-?inf)")

    def test_a_warning_is_shown_once(self):
        self.write("w.fil", "dims B, In = 4, Out = 6\nmodel M(x: [B,In]) -> [B] {\n  param w: In -> Out\n  select o* = topk(sum(abs(w), over In), 3, over Out)\n"
                   "  return sum(x @ w[o*], over o*)\n}\nloss l(y: [B], t: [B]) = mean((y - t)^2, over B)\n"
                   "plan p for M { train { data x=npy(\"x.npy\"), t=npy(\"t.npy\"); batch 4; steps 2 } }\n")
        _, err = self.fil("train", "w.fil", "--plan", "p", "--out", "o")
        self.assertEqual(err.count("W0311"), 1, err)

    def test_wrong_input_is_exit_1(self):
        self.fil("train", "absent.fil", "--plan", "p", "--out", "o", exit=1, code="E0501")
        self.fil("train", "c.fil", "--plan", "q", "--out", "o", exit=1, code="P0411")
        self.fil("train", "c.fil", "--plan", "p", "--out", "c.fil", exit=1, code="E0502")
        self.write("t.txt", "short")
        self.fil("train", "c.fil", "--plan", "p", "--out", "o", exit=1, code="E0508")
        self.write("x.npy", b"no array")
        self.fil("train", "k.fil", "--plan", "p", "--out", "o", exit=1, code="E0505")


class Interrupted(CommandTest):
    def start(self, *args):
        path = self.path("o/metrics.jsonl")
        self.before = os.path.getsize(path) if os.path.exists(path) else 0
        return subprocess.Popen([FIL, "train", "--backend=reference", "c.fil", "--plan", "each", "--out", "o", *args], cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def wait_for_steps(self, process, n):
        until, path = time.time() + 60, self.path("o/metrics.jsonl")
        while time.time() < until and process.poll() is None:
            if os.path.exists(path) and os.path.getsize(path) > self.before + 150 * n:
                return
            time.sleep(0.005)
        self.fail("no steps were made")

    def test_a_signal_finishes_the_step_and_writes_a_checkpoint(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            shutil.rmtree(self.path("o"), ignore_errors=True)
            p = self.start()
            self.wait_for_steps(p, 3)
            p.send_signal(number)
            _, err = p.communicate(timeout=60)
            self.assertEqual(p.returncode, 0, err)
            self.assertIn(b"`--resume` goes on", err)
            steps = len(self.lines("o"))
            self.assertEqual(read_checkpoint(self.path("o/last.safetensors"))[0]["step"], str(steps))
        self.fil("train", "c.fil", "--plan", "each", "--out", "whole", "--steps", str(steps + 2))
        self.fil("train", "c.fil", "--plan", "each", "--out", "o", "--resume", "--steps", str(steps + 2))
        self.assertEqual(self.tensors("whole"), self.tensors("o"))

    def test_killed_at_any_moment_the_last_checkpoint_is_good(self):
        random.seed(1)
        for round in range(8):
            p = self.start(*(["--resume"] if round else []))
            self.wait_for_steps(p, 2)
            time.sleep(random.uniform(0, 0.05))
            p.kill()
            p.communicate()
            metadata, tensors = read_checkpoint(self.path("o/last.safetensors"))
            self.assertGreater(int(metadata["step"]), 0)
            self.assertEqual(len(tensors["emb"][2]), 256 * 8 * 4)
        steps = int(metadata["step"]) + 1
        self.fil("train", "c.fil", "--plan", "each", "--out", "o", "--resume", "--steps", str(steps))
        self.fil("train", "c.fil", "--plan", "each", "--out", "whole", "--steps", str(steps))
        self.assertEqual(self.tensors("whole"), self.tensors("o"))
        self.assertEqual([l["loss"] for l in self.lines("whole")], [l["loss"] for l in self.lines("o")])
        self.assertEqual([n for n in os.listdir(self.path("o")) if n.endswith(".tmp")], [])


if __name__ == "__main__":
    unittest.main()
