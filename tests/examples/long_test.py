# SPDX-License-Identifier: Apache-2.0
"""Whole recipes at three seeds: `./dev test --long charlm_full`. What a run leaves stays in `long` of the build folder."""
import hashlib
import json
import os
import shutil
import subprocess

from examples import HERE, SOURCE, ExampleTest, main, values
from support import FIL, read_checkpoint

SEEDS = (7, 8, 9)
STEPS = 2000
FOLDER = os.path.normpath(os.environ.get("FIL_LONG_FOLDER") or os.path.join(os.path.dirname(FIL), "../long"))
SHARE = """  state share: [E] = 1
  on step: share += 0.01 * (load(e*) / mean(load(e*), over E) - share)
"""


def binary():
    with open(FIL, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def average(numbers):
    return sum(numbers) / len(numbers)


class Long(ExampleTest):
    def run_recipe(self, name, program, seed, anew):
        """The validation losses by step. Without `anew`, a run that this very command has finished before counts."""
        out = os.path.join(FOLDER, f"{name}_seed{seed}")
        done = os.path.join(out, "finished_by")
        if anew or not os.path.exists(done) or open(done).read() != binary():
            shutil.rmtree(out, ignore_errors=True)
            os.makedirs(FOLDER, exist_ok=True)
            data = os.path.dirname(self.data("tinyshakespeare.txt"))
            subprocess.run([FIL, "train", program, "--plan", "laptop", "--data-dir", data, "--out", out, "--seed", str(seed)], check=True)
            with open(done, "w") as f:
                f.write(binary())
        with open(os.path.join(out, "metrics.jsonl")) as f:
            lines = [json.loads(line) for line in f]
        self.assertEqual([line["step"] for line in lines], list(range(1, STEPS + 1)))
        curve = {line["step"]: line["valid_loss"] for line in lines if "valid_loss" in line}
        print(f"{name}, seed {seed}: " + "  ".join(f"{step}: {loss:.4f}" for step, loss in curve.items()), flush=True)
        return out, curve

    def charlm(self, anew):
        return [self.run_recipe("charlm", os.path.join(SOURCE, "examples/02_charlm/charlm.fil"), seed, anew)[1] for seed in SEEDS]

    def test_charlm_full(self):
        curves = self.charlm(anew=True)
        with open(os.path.join(HERE, "charlm_peer.json")) as f:
            theirs = json.load(f)["valid_loss"].values()  # by seed
        peer = {int(step): average([float(curve[step]) for curve in theirs]) for step in next(iter(theirs))}
        ours = {step: average([c[step] for c in curves]) for step in peer}
        for step in peer:
            print(f"step {step}: {ours[step]:.4f}, PyTorch {peer[step]:.4f}, {ours[step] - peer[step]:+.4f}")
        self.assertLessEqual(ours[STEPS], 1.55)
        for step in peer:
            self.assertLessEqual(abs(ours[step] - peer[step]), 0.03, f"step {step}")

    def test_moe_full(self):
        # The example, and a state that follows how often each expert is chosen: 1 is the equal share.
        with open(os.path.join(SOURCE, "examples/03_moe/moe.fil")) as f:
            text = f.read()
        at = text.index("  return 2 * sum(normalize(a[e*]")
        program = self.write("moe.fil", text[:at] + SHARE + text[at:])
        runs = [self.run_recipe("moe", program, seed, True) for seed in SEEDS]
        for out, _ in runs:
            tensors = read_checkpoint(os.path.join(out, "last.safetensors"))[1]
            shares = {name: values(t) for name, t in tensors.items() if name.endswith(".share")}
            self.assertEqual(len(shares), 4)
            for name, share in shares.items():
                print(f"{out} {name}: " + " ".join(f"{s:.2f}" for s in share))
                self.assertEqual(len(share), 8)
                self.assertAlmostEqual(sum(share), 8, delta=1e-2)
                self.assertGreaterEqual(min(share), 0.25, name)
        moe, dense = average([curve[STEPS] for _, curve in runs]), average([curve[STEPS] for curve in self.charlm(anew=False)])
        print(f"step {STEPS}: moe {moe:.4f}, charlm {dense:.4f}")
        self.assertLess(moe, dense)


if __name__ == "__main__":
    main()
