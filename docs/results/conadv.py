"""Five times as many epochs as compare-conadv, at rates that it found: the second table of compare-conadv.md.

Called by `docs/results/run compare-conadv` with the program and the data. The numbers are the same on any number of threads;
two runs of one thread each are faster than two after each other.
"""
import concurrent.futures
import json
import os
import pathlib
import statistics
import subprocess
import sys

program, data = sys.argv[1:3]
EPOCHS, SEEDS = 25, (0, 1, 2)
SIZES = (500, 2500)
METHODS = {"plain": [], "crop, flip": ["--augment", "crop(2),flip"], "conadv": ["--method", "conadv(0.1)"],
           "conadv, crop, flip": ["--method", "conadv(0.1)", "--augment", "crop(2),flip"]}
METRICS = ("test-error", "test-attacked_error", "train-error")
RECORDS = pathlib.Path("studies/compare-conadv/longer")
T = 4.303  # Student's t at 95 % with two degrees of freedom


def rate(size, method):
    """What the comparison found for it."""
    if size == 2500:
        return "0.3282626409563613"
    return "0.44822217245654644" if "conadv" in method else "0.07743735816103857"



def trained(job):
    """The last metrics of a run, trained where its record is not there."""
    size, method, seed = job
    path = RECORDS / f"{size}-{method.replace(', ', '-')}-{seed}.json"
    if path.exists():
        return job, json.loads(path.read_text())
    words = [program, "train", "--json", "--quiet", "--data", data, "--examples", "10000", "--resize", "16", "--model", "c1"]
    words += ["--batch-size", str(size), "--learning-rate", rate(size, method), "--epochs", str(EPOCHS), "--seed", str(seed)]
    words += ["--schedule", f"cosine({EPOCHS}ep)", "--measure", "attacked(0.1)", "--noise=off", *METHODS[method]]
    out = subprocess.run(words, check=True, stdout=subprocess.PIPE, env=os.environ | {"RAYON_NUM_THREADS": "1"}).stdout
    metrics = json.loads(out)["measurements"][-1]["metrics"]
    path.write_text(json.dumps(metrics))
    return job, metrics


def interval(values):
    mean, half = statistics.mean(values), T * statistics.stdev(values) / len(values) ** 0.5
    return f"{mean:.3f} ({mean - half:.3f}–{mean + half:.3f})"


RECORDS.mkdir(parents=True, exist_ok=True)
jobs = [(size, method, seed) for seed in SEEDS for size in SIZES for method in METHODS]
with concurrent.futures.ThreadPoolExecutor(2) as pool:
    found = dict(pool.map(trained, jobs))
print("| batch size | method | test error | of it attacked | training error |")
print("| ---: | --- | --- | --- | --- |")
for size in SIZES:
    for method in METHODS:
        runs = [found[size, method, seed] for seed in SEEDS]
        cells = [interval([run[metric] for run in runs]) for metric in METRICS]
        print(f"| {size} | {method} | {' | '.join(cells)} |")
