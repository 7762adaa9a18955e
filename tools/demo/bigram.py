#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares a run of `fil train` with a bigram model of bytes: counts of the training part, add-one smoothing, cross-entropy on the same
held-out part in nats a byte. Fails unless the run lies at least MARGIN below.

    bigram.py TEXT METRICS.jsonl MARGIN [SPLIT]
"""
import collections
import json
import math
import sys


def bigram_loss(text, split):
    """Counts on text[:cut], loss of each byte of text[cut:] after the first; the cut is where Filigree cuts."""
    cut = math.floor(len(text) * split)
    train, held = text[:cut], text[cut:]
    pairs = collections.Counter(zip(train, train[1:]))
    firsts = collections.Counter(train[:-1])
    total = sum(n * math.log((firsts[a] + 256) / (pairs[a, b] + 1)) for (a, b), n in collections.Counter(zip(held, held[1:])).items())
    return total / (len(held) - 1)


def last_validation(path):
    loss = None
    with open(path) as f:
        for line in f:
            loss = json.loads(line).get("valid_loss", loss)
    if loss is None:
        sys.exit(f"{path} has no validation")
    return loss


def main(text_path, metrics, margin, split="0.9"):
    with open(text_path, "rb") as f:
        bigram = bigram_loss(f.read(), float(split))
    model = last_validation(metrics)
    below = bigram - model
    print(f"validation loss {model:.4f}   bigram model {bigram:.4f}   {abs(below):.4f} nats {'below' if below >= 0 else 'ABOVE'}")
    if not below >= float(margin):
        sys.exit(f"the model should lie at least {margin} nats below the bigram model")


if __name__ == "__main__":
    if len(sys.argv) not in (4, 5):
        sys.exit(__doc__)
    main(*sys.argv[1:])
