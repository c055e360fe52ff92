"""Losses at epochs of runs that decay the rate and of runs that grow the batch: the table of compare-growing.md.

Called by `docs/results/run compare-growing` with the program, the data and the learning rate that the comparison tuned.
"""
import json
import statistics
import subprocess
import sys

program, data, rate = sys.argv[1:4]
EXAMPLES, SEEDS, EPOCHS = 20_000, range(4), (6, 12, 14, 16, 18, 20, 22, 24)
T = 3.182  # Student's t at 95 % with three degrees of freedom


def losses(seed, *flags):
    """Training losses at the epochs, where evaluations fall, and the updates made."""
    words = [program, "train", "--json", "--quiet", "--data", data, "--examples", str(EXAMPLES)]
    words += ["--model", "mlp(128,norm)", "--batch-size", "64", "--learning-rate", rate, "--epochs", "24"]
    words += ["--schedule", "step(0.2@12ep@18ep)", "--seed", str(seed), "--noise=off", *flags]
    record = json.loads(subprocess.run(words, check=True, capture_output=True).stdout)
    points = {m["examples"]: m["metrics"]["train-loss"] for m in record["measurements"]}
    values = [points[epoch * EXAMPLES] for epoch in EPOCHS]
    return values, record["measurements"][-1]["step"]


decays = [losses(seed, "--evaluate-every", "25") for seed in SEEDS]
grows = [losses(seed, "--controller", "grow", "--evaluate-every", "5") for seed in SEEDS]
print(f"updates: {decays[0][1]} with the rate decayed, {grows[0][1]} with the batch grown")
print("| epoch | rate decayed | batch grown | difference, paired |")
print("| ---: | --- | --- | --- |")
for place, epoch in enumerate(EPOCHS):
    a, b = ([values[place] for values, _ in runs] for runs in (decays, grows))
    d = [y - x for x, y in zip(a, b)]
    cells = [f"{statistics.mean(v):.5f} ± {statistics.stdev(v):.5f}" for v in (a, b)]
    half = T * statistics.stdev(d) / len(d) ** 0.5
    print(f"| {epoch} | {cells[0]} | {cells[1]} | {statistics.mean(d):.5f} ({-half + statistics.mean(d):.5f} to {half + statistics.mean(d):.5f}) |")
