#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The demo, once the command is built: a text, a training run, a sample, and the loss beside that of a bigram model.
#   demo.sh FIL OUT [--data FILE] [--backend=cpu|reference] [--tiny]
# `--tiny` is for tests: a small model on a few words, so that the reference takes seconds.
set -euo pipefail
fil=$1 out=$2; shift 2
here=$(cd "$(dirname "$0")" && pwd) program=$(cd "$(dirname "$0")/../.." && pwd)/examples/02_charlm/charlm.fil
data= tiny= options=()
while [ $# -gt 0 ]; do
  case $1 in
    --data) data=${2:?--data takes a file}; shift ;;
    --data=*) data=${1#*=} ;;
    --tiny) tiny=yes ;;
    --backend=*) options+=("$1") ;;
    *) echo "demo: unknown option $1" >&2; exit 2 ;;
  esac
  shift
done
mkdir -p "$out"
files=("$program") plan=demo dims=()
if [ -n "$tiny" ]; then
  files+=("$here/tiny.plan.fil") plan=tiny dims=(--dim D=16 L=1 H=2)
  if [ -z "$data" ]; then
    data=$out/tiny.txt
    python3 -c "print(('alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu ' * 400)[:24000], end='')" > "$data"
  fi
elif [ -z "$data" ]; then
  data=$out/fortunes.txt
  python3 "$here/fortunes.py" "$data"
fi
"$fil" train "${files[@]}" --plan $plan "${dims[@]}" --data "$data" --out "$out" "${options[@]}"
echo "--- sampled text ---"
"$fil" sample "${files[@]}" --weights "$out/last.safetensors" --tokens 400 --temperature 0.8 --seed 1 "${options[@]}"
echo
echo "---"
python3 "$here/bigram.py" "$data" "$out/metrics.jsonl" 0.3
