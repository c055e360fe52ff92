"""Trains the runs of navigation.md, those that are not there yet, and prints its tables.

Called by `docs/results/run navigation` with the program. Two runs train at a time, each on half of the cores: together 1.6
times as fast as one after the other, with the same numbers. A run that was interrupted goes on from its checkpoint, and may
share the machine: no number depends on the time.
"""
import concurrent.futures
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys

program = sys.argv[1]
FRAMES = 5_000_000
BATCHES = (256, 512, 1024, 2048)
SEEDS = (0, 1)
AT_ONCE = 2
# Each with its two rates, in units of the published 5e-4·sqrt(B/256): a factor of 4 apart, about what trained best in one-room
# plans before.
OPTIMIZERS = {"adamw": ("adamw(weight_decay=0.01)", (1, 4)),
              "lamb": ("lamb(clamp=10,min_trust=0.01,weight_decay=0.01)", (8, 32))}
WORKLOAD = "navigation(rooms=3,farthest=5,episodes=200)"
RECORDS = pathlib.Path("docs/results/navigation")
RUNS = pathlib.Path("studies/navigation")


def rate(batch, factor):
    return factor * 5e-4 * max(math.sqrt(batch / 256), 1)


def trained(optimizer, batch, factor, seed):
    """The record of a run, trained where it is not there."""
    name = f"{optimizer}-{batch}-x{factor}-{seed}"
    path = RECORDS / f"{name}.json"
    if not path.exists():
        words = [program, "navigate", "train", "--json", "--workload", WORKLOAD, "--batch-size", str(batch),
                 "--frames", str(FRAMES), "--learning-rate", repr(rate(batch, factor)), "--seed", str(seed),
                 "--optimizer", OPTIMIZERS[optimizer][0], "--checkpoint", str(RUNS / name)]
        print(name, file=sys.stderr, flush=True)
        threads = str(max((os.cpu_count() or 1) // AT_ONCE, 1))
        out = subprocess.run(words, check=True, stdout=subprocess.PIPE,
                             env={**os.environ, "RAYON_NUM_THREADS": threads}).stdout
        path.write_bytes(out)
    return json.loads(path.read_text())


def last(record, metric):
    return record["measurements"][-1]["metrics"][metric]


def wilson(successes, n, z=1.96):
    share, width = successes / n, 1 + z * z / n
    middle = (share + z * z / (2 * n)) / width
    half = z / width * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return middle - half, middle + half


def row(optimizer, batch, factor):
    records = [trained(optimizer, batch, factor, seed) for seed in SEEDS]
    if any(record["outcome"]["state"] == "diverged" for record in records):
        states = ", ".join(record["outcome"]["state"] for record in records)
        return f"| {optimizer} | {batch} | {rate(batch, factor):.2g} | {states} | | |"
    success = [last(record, "test-success") for record in records]
    spl = [last(record, "test-spl") for record in records]
    episodes = 200 * len(records)
    low, high = wilson(sum(success) * 200, episodes)
    seeds = ", ".join(f"{value:.2f}" for value in success)
    return (f"| {optimizer} | {batch} | {rate(batch, factor):.2g} | {statistics.mean(success):.2f} ({low:.2f}-{high:.2f}) "
            f"| {seeds} | {statistics.mean(spl):.2f} |")


RECORDS.mkdir(parents=True, exist_ok=True)
ROWS = [(optimizer, batch, factor) for optimizer, batches in (("adamw", BATCHES), ("lamb", BATCHES[-1:]))
        for batch in batches for factor in OPTIMIZERS[optimizer][1]]
with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
    list(pool.map(lambda run: trained(*run), [(*each, seed) for each in ROWS for seed in SEEDS]))
print("| optimizer | frames an update | rate | success (95 % over episodes of these agents) | each seed | SPL |")
print("| --- | ---: | ---: | --- | --- | ---: |")
for each in ROWS:
    print(row(*each), flush=True)
