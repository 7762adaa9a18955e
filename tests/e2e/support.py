# SPDX-License-Identifier: Apache-2.0
"""What the tests of the command share: running it, and reading and writing its files without a library."""
import array
import json
import os
import struct
import subprocess
import tempfile
import unittest

FIL = os.environ["COMMAND_UNDER_TEST"]
SOURCE = os.environ["SOURCE_FOLDER"]
os.environ["FIL_CACHE_BYTES"] = "0"  # what is tested is compiled; cache_test.py has caches of its own

CHAR = """
dims B, T, S
dims V = 256, D = 8, L = 2, H = 2, N = D / H
fn rms(x: [.., X], g: [X]) = x * rsqrt(mean(x^2, over X) + 1e-6) * g
block Attention(h: [B,T,D], pos: int[T]) -> [B,T,D] {
  param q, k, v: D -> (H, N);  param o: (H, N) -> D
  cache ks: [B,S,H,N] <- rope(h @ k, pos, over N)
  cache vs: [B,S,H,N] <- h @ v
  let score = dot(rope(h @ q, pos, over N), ks, over N) / sqrt(N)
  return dot(softmax(score where causal(T, S), over S), vs, over S) @ o
}
model Char(tok: index<V>[B,T], pos: int[T]) -> [B,T,V] {
  param emb: V -> D = normal(0.02);  param g: [D] = 1
  let h = emb[tok]
  layers l in 0..L { param a: [D] = 1;  h += Attention(rms(h, a), pos) }
  return dot(rms(h, g), emb, over D)
}
loss nll(y: [B,T,V], t: index<V>[B,T]) = mean(xent(y, t, over V), over B, T)
plan p for Char { train { data text("t.txt"); window T=8; batch 4; steps 12
                          optim adamw(lr=1e-2, clip=1.0, warmup=2, decay=cosine); seed 3; validate every=5 } }
plan each for Char from p { train { steps 100000; checkpoint every=1; validate every=1000000 } }
plan wild for Char from p { train { optim sgd(lr=1e30) } }
plan two for Char from p { train { data text("t.txt", "u.txt") } }
"""
CLASSES = """
dims B, P = 4, K = 3
model Classes(x: [B,P]) -> [B,K] { param w: P -> K; param b: [K] = 0; return x @ w + b }
loss nll(y: [B,K], t: index<K>[B]) = mean(xent(y, t, over K), over B)
plan p for Classes { train { data x=npy("x.npy"), t=npy("t.npy"); batch 4; epochs 2; optim adamw(lr=1e-2); validate accuracy } }
plan hard for Classes from p { require { accuracy >= 0.9999; loss <= 1e-9 } }
plan easy for Classes from p { require { accuracy >= 0; loss <= 100 } }
"""


def write_npy(path, dtype, shape, values):
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': ({''.join(f'{d},' for d in shape)}), }}"
    header += " " * (63 - (10 + len(header)) % 64) + "\n"
    with open(path, "wb") as f:
        f.write(b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header.encode())
        f.write(array.array({"<f4": "f", "<i4": "i", "|u1": "B", "|b1": "B"}[dtype], values).tobytes())


def read_npy(path):
    with open(path, "rb") as f:
        data = f.read()
    end = 10 + struct.unpack("<H", data[8:10])[0]
    header = eval(data[10:end])  # of a file that the test has just had written
    return header["shape"], list(array.array({"<f4": "f", "<f8": "d", "<i4": "i"}[header["descr"]], data[end:]))


def read_checkpoint(path):
    """Metadata and a map from names to (dtype, shape, bytes)."""
    with open(path, "rb") as f:
        data = f.read()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + length])
    start = 8 + length
    metadata = header.pop("__metadata__")
    return metadata, {n: (t["dtype"], t["shape"], data[start + t["data_offsets"][0]:start + t["data_offsets"][1]]) for n, t in header.items()}


def write_checkpoint(path, metadata, tensors):
    """What read_checkpoint reads."""
    header, at = {"__metadata__": metadata}, 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(header).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(t[2] for t in tensors.values()))


def change_checkpoint(path, to, edits):
    """A checkpoint with other values: of each tensor's name a function of its bytes and shape."""
    with open(path, "rb") as f:
        data = bytearray(f.read())
    first = 8 + struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:first])
    for name, edit in edits.items():
        begin, end = (first + x for x in header[name]["data_offsets"])
        data[begin:end] = edit(bytes(data[begin:end]), header[name]["shape"])
    with open(to, "wb") as f:
        f.write(data)


class CommandTest(unittest.TestCase):
    maxDiff = 2000
    timeout = 120  # seconds a command may take
    plans = ""     # beside those of CHAR

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="fil-e2e-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.write("c.fil", CHAR + self.plans)
        self.write("k.fil", CLASSES)
        self.write("t.txt", "to be or not to be, that is the question. " * 30)
        rows = [[float(k == r * 7 % 3) + 0.1 * ((r * 5 + k * 3) % 7) for k in range(4)] for r in range(30)]
        write_npy(self.path("x.npy"), "<f4", (30, 4), [v for row in rows for v in row])
        write_npy(self.path("t.npy"), "<i4", (30,), [r * 7 % 3 for r in range(30)])

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text):
        mode = "wb" if isinstance(text, bytes) else "w"
        with open(self.path(name), mode) as f:
            f.write(text)
        return self.path(name)

    def read(self, name):
        with open(self.path(name), "rb") as f:
            return f.read()

    def fil(self, *args, exit=0, code=None):
        """Runs the command in the test's folder; compute is the reference's. Returns (stdout as bytes, stderr as text)."""
        args = list(args)
        if args and args[0] in ("train", "run", "sample", "explain", "compile") and "--help" not in args and not any(a.startswith("--backend") for a in args):
            args.insert(1, "--backend=reference")
        r = subprocess.run([FIL, *args], cwd=self.folder, capture_output=True, timeout=self.timeout)
        err = r.stderr.decode()
        self.assertEqual(r.returncode, exit, f"fil {' '.join(args)}\n{r.stdout[-2000:]}\n{err[-2000:]}")
        if code:
            self.assertIn(f"error[{code}]", err)
            self.assertEqual(r.stdout, b"")
        return r.stdout, err

    def lines(self, out):
        with open(self.path(out + "/metrics.jsonl")) as f:
            return [json.loads(line) for line in f]

    def tensors(self, out):
        return read_checkpoint(self.path(out + "/last.safetensors"))[1]

    def floats(self, tensor):
        return struct.unpack(f"<{len(tensor[2]) // 4}f", tensor[2])


class CharTest(CommandTest):
    """Of training Char."""

    def train(self, plan, out, *more, **expected):
        return self.fil("train", "c.fil", "--plan", plan, "--out", out, *more, **expected)[1]
