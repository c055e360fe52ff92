"""Five times as many epochs as compare-conadv, at the rates that it found: the second table of compare-conadv.md.

Called by `docs/results/run compare-conadv`, after the comparison, with the program and the data. Runs whose record is
there are not trained again. The numbers are the same on any number of threads;
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
AUGMENTED, CONADV = ["--augment", "crop(2),flip"], ["--method", "conadv(0.1)"]
# Each with its name in the comparison.
METHODS = {"plain": ("sgd+tuned", []),
           "crop, flip": ("sgd+tuned+crop(padding=2)+flip", AUGMENTED),
           "conadv": ("sgd+tuned+conadv(epsilon=0.1)", CONADV),
           "conadv, crop, flip": ("sgd+tuned+conadv(epsilon=0.1)+crop(padding=2)+flip", CONADV + AUGMENTED)}
METRICS = ("test-error", "test-attacked_error", "train-error")
RECORDS = pathlib.Path("studies/compare-conadv/longer")
COMPARED = json.loads(pathlib.Path("docs/results/compare-conadv/comparison.json").read_text())
RATES = {(point["batch_size"], point["method"]): point["learning_rate"] for point in COMPARED["points"]}
T = 4.303  # Student's t at 95 % with two degrees of freedom


def trained(job):
    """The last metrics of a run, trained where its record is not there."""
    size, method, seed = job
    path = RECORDS / f"{size}-{method.replace(', ', '-')}-{seed}.json"
    if path.exists():
        return job, json.loads(path.read_text())
    name, flags = METHODS[method]
    words = [program, "train", "--json", "--quiet", "--data", data, "--examples", "10000", "--resize", "16", "--model", "c1"]
    words += ["--batch-size", str(size), "--learning-rate", repr(RATES[size, name]), "--epochs", str(EPOCHS), "--seed", str(seed)]
    words += ["--schedule", f"cosine({EPOCHS}ep)", "--measure", "attacked(0.1)", "--noise=off", *flags]
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
