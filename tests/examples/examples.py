# SPDX-License-Identifier: Apache-2.0
"""What the tests of the examples share: training one of them, comparing what two runs leave, and the real data where they are."""
import array
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
os.environ.setdefault("SOURCE_FOLDER", os.path.realpath(os.path.join(HERE, "../..")))
os.environ.setdefault("COMMAND_UNDER_TEST", os.path.join(os.environ["SOURCE_FOLDER"], "build/bin/fil"))
sys.path.insert(0, os.path.join(HERE, "../e2e"))
import support  # noqa: E402

SOURCE = support.SOURCE
DATA = os.environ.get("FIL_TEST_DATA") or os.path.realpath(os.path.join(SOURCE, "../shared/data"))
SKIPPED = 77  # the exit code that ctest shows as skipped


def values(tensor):
    dtype, _, data = tensor
    return array.array({"F32": "f", "F64": "d"}[dtype], data)


def difference(a, b):
    """The largest difference of two tensors, relative to the largest element; nothing is near a NaN."""
    x, y = values(a), values(b)
    if len(x) != len(y) or not all(v == v for v in x) or not all(v == v for v in y):
        return float("inf")
    return max((abs(p - q) for p, q in zip(x, y)), default=0) / max(max(map(abs, y), default=0), 1e-30)


class ExampleTest(support.CommandTest):
    timeout = 900

    def files(self, name):
        folder = os.path.join(SOURCE, "examples", name)
        return sorted(os.path.join(folder, f) for f in os.listdir(folder) if f.endswith(".fil"))

    def train(self, example, plan, out, *options, backend="cpu"):
        """Trains; returns the lines of its metrics."""
        self.fil("train", f"--backend={backend}", *self.files(example), "--plan", plan, "--out", out, *options)
        return self.lines(out)

    def data(self, name):
        """Where real data lie; a test that needs them is skipped where they do not."""
        path = os.path.join(DATA, name)
        if not os.path.exists(path):
            self.skipTest(f"no {path}: FIL_TEST_DATA names the folder of the data")
        return path


def main():
    """As unittest.main, but exits with SKIPPED where a test was skipped and none failed."""
    program = support.unittest.main(module="__main__", exit=False, verbosity=2)
    result = program.result
    sys.exit(1 if not result.wasSuccessful() or not result.testsRun else SKIPPED if result.skipped else 0)
