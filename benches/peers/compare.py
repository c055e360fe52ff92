"""Runs our step and PyTorch's alternately and prints both with their ratio."""

import json
import math
import os
import statistics
import subprocess
import sys

import torch
from workloads import BATCHES

ROUNDS, SECONDS = 5, 0.5
# PyTorch is faster in one memory layout or the other, by size: it gets the better of both.
LAYOUTS = {"W2": ["default", "channels_last"], "W3": ["default", "channels_last"]}
HERE = os.path.dirname(os.path.abspath(__file__))
THREADS = {"RAYON_NUM_THREADS": "2", "OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"}
ENVIRONMENT = {**os.environ, **THREADS}


def main(program):
    peer = subprocess.Popen(
        [sys.executable, "workloads.py"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=HERE, env=ENVIRONMENT,
    )

    def ours(name, batch):
        command = [program, name, str(batch), str(SECONDS)]
        out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT).stdout
        return json.loads(out)["seconds"]

    def theirs(name, batch, layout):
        print(name, batch, SECONDS, layout, file=peer.stdin, flush=True)
        line = peer.stdout.readline()
        if not line:
            raise SystemExit(f"PyTorch ended with {peer.wait()} in {name} at batch {batch}; its message is above")
        return json.loads(line)["seconds"]

    print(f"medians of {ROUNDS} alternating runs of {SECONDS} s, 2 threads; PyTorch {torch.__version__}")
    print(f"{'':4} {'batch':>6} {'ours ex/s':>12} {'PyTorch ex/s':>13} {'ratio':>7}  {'(range)':13} PyTorch's layout")
    ratios = []
    for name, batches in BATCHES.items():
        layouts = LAYOUTS.get(name, ["default"])
        for batch in batches:
            rounds = [(ours(name, batch), [theirs(name, batch, layout) for layout in layouts]) for _ in range(ROUNDS)]
            mine = statistics.median(our for our, _ in rounds)
            medians = [statistics.median(column) for column in zip(*(their for _, their in rounds))]
            best = medians.index(min(medians))
            pairs = sorted(their[best] / our for our, their in rounds)
            ratio = statistics.median(pairs)
            ratios.append(ratio)
            spread = f"({pairs[0]:.2f}-{pairs[-1]:.2f})"
            print(
                f"{name:4} {batch:6} {batch / mine:12.0f} {batch / medians[best]:13.0f} {ratio:7.2f}  {spread:13} {layouts[best]}",
                flush=True,
            )
    peer.stdin.close()
    peer.wait()
    print(f"geometric mean ratio to PyTorch: {math.exp(statistics.fmean(map(math.log, ratios))):.2f}")


if __name__ == "__main__":
    main(sys.argv[1])
