"""Runs our step and PyTorch's alternately and prints both with their ratio."""

import json
import math
import os
import statistics
import subprocess
import sys

from workloads import BATCHES

ROUNDS, SECONDS = 5, 1.0
HERE = os.path.dirname(os.path.abspath(__file__))


def run(command):
    out = subprocess.run(command, check=True, capture_output=True, text=True, cwd=HERE).stdout
    return json.loads(out.strip().splitlines()[-1])["seconds"]


def main(ours):
    print(f"{'':4} {'batch':>6} {'ours ex/s':>12} {'PyTorch ex/s':>13} {'ratio':>7}   (medians of {ROUNDS} pairs, 2 threads)")
    ratios = []
    for name, batches in BATCHES.items():
        for batch in batches:
            pairs = [
                (run([ours, name, str(batch), str(SECONDS)]),
                 run([sys.executable, "workloads.py", name, str(batch), str(SECONDS)]))
                for _ in range(ROUNDS)
            ]
            mine, theirs = (statistics.median(column) for column in zip(*pairs))
            ratio = statistics.median(b / a for a, b in pairs)
            ratios.append(ratio)
            print(f"{name:4} {batch:6} {batch / mine:12.0f} {batch / theirs:13.0f} {ratio:7.2f}", flush=True)
    print(f"geometric mean ratio to PyTorch: {math.exp(statistics.fmean(map(math.log, ratios))):.2f}")


if __name__ == "__main__":
    main(sys.argv[1])
