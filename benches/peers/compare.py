"""Runs our training step, PyTorch's and JAX's alternately and prints them side by side."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from importlib.metadata import version

from allocators import allocators
from peer import THREADS
from programs import ENVIRONMENT, Program, Variant, select
from roofline import step_cost
from tables import SPEED_HEADER, Row, geometric_mean, print_speed, print_use

# Batch sizes up to this have a table and a mean of their own.
SMALL = 8

# Steps after which the losses are compared, and how far they may lie apart, relatively. Batch norm
# and ReLUs blow rounding up from step to step: in W3 at batch 64, PyTorch's own two memory formats
# end 0.3 % apart, PyTorch and JAX 0.4 %. The others agree to 1e-5 and better.
AGREEMENT_STEPS = 20
TOLERANCE = {"W1": 1e-3, "W2": 1e-3, "W3": 1e-2, "W4": 1e-3}

# A machine whose cores are busier than this before the start is not idle.
IDLE = 0.05


@dataclass(frozen=True)
class Effort:
    """How long to measure."""

    rounds: int
    seconds: float
    selection: float


@dataclass
class Session:
    """What all rows have in common."""

    step: str  # the program of our side
    effort: Effort
    folder: str  # for start files
    peak: float = 0.0  # operations a second of a large matrix product: the best seen so far

    def measure_peak(self):
        """Measures the peak once more. A neighbor on the machine can halve it for a while, and a
        peak below what a step reaches would be none."""
        with Variant("torch", "default", "glibc").program() as program:
            theirs = program.ask("peak")["flops"]
        self.peak = max(self.peak, theirs, ask_once(self.step, "peak")["flops"])


FULL, QUICK = Effort(7, 0.5, 0.3), Effort(3, 0.1, 0.05)


def alternate(programs, effort):
    """Seconds of a step of every program in every round, the order turned from round to round."""
    times = {name: [] for name in programs}
    names = list(programs)
    for turn in range(effort.rounds):
        order = names if turn % 2 == 0 else names[::-1]
        for name in order:
            times[name].append(programs[name].ask("time", effort.seconds)["seconds"])
    return times


def figures(variant, times, losses, tolerance):
    """A peer's seconds and loss, and the ratio of the rounds if it computes what we do."""
    result = {"loss": losses[variant], "seconds": statistics.median(times[variant])}
    if not abs(losses[variant] - losses["ours"]) <= tolerance * abs(losses["ours"]):
        return result  # also where one is not a number
    pairs = [b / a for a, b in zip(times["ours"], times[variant], strict=True)]
    return {**result, "ratio": statistics.median(pairs), "range": [min(pairs), max(pairs)]}


def measure(session, workload, batch_size):
    """A row of the tables."""
    effort, row_name = session.effort, [workload, str(batch_size)]
    start = os.path.join(session.folder, "start.safetensors")
    subprocess.run([session.step, "start", *row_name, start], check=True, env=ENVIRONMENT)
    variants, left_out = [], []
    for framework in ("torch", "jax"):
        best, failures = select(framework, workload, start, effort.selection)
        variants += best if framework == "torch" else best[:1]
        left_out += failures

    with ExitStack() as stack:
        ours = stack.enter_context(Program([session.step, "serve", *row_name]))
        programs = {"ours": ours}
        for variant in variants:
            programs[variant] = stack.enter_context(variant.program())
            answer = programs[variant].ask("prepare", workload, start, variant.options)
            if "failed" in answer:
                raise SystemExit(f"{variant.framework}, {variant} failed: {answer['failed']}")
        losses = {name: p.ask("loss", AGREEMENT_STEPS)["loss"] for name, p in programs.items()}
        times = alternate(programs, effort)
        memory = {name: p.ask("memory")["bytes"] for name, p in programs.items()}
        split = ours.ask("split", effort.seconds)
        bandwidth = ours.ask("bandwidth")["bytes_per_second"]

    operations, moved = step_cost(workload, start)
    seconds = statistics.median(times["ours"])
    row = Row(
        workload=workload,
        batch_size=batch_size,
        seconds=seconds,
        loss=losses["ours"],
        memory=memory["ours"],
        split=split,
        operations=operations,
        moved=moved,
        bandwidth=bandwidth,
        left_out=left_out,
    )
    for variant in variants:
        peer = figures(variant, times, losses, TOLERANCE[workload])
        peer |= {"variant": str(variant), "memory": memory[variant]}
        best = row.peers.get(variant.framework)
        # One that computes the same comes before one that does not, a faster before a slower.
        rank = ("ratio" not in peer, peer["seconds"])
        if best is None or rank < ("ratio" not in best, best["seconds"]):
            row.peers[variant.framework] = peer
    return row


def busy_share(seconds=2.0):
    """How busy the machine's cores are, as Linux tells it; None elsewhere."""

    def jiffies():
        with open("/proc/stat", encoding="ascii") as stat:
            values = [int(value) for value in stat.readline().split()[1:9]]
        return sum(values), values[3] + values[4]

    try:
        total, idle = jiffies()
        time.sleep(seconds)
        total_after, idle_after = jiffies()
    except OSError:
        return None
    return 1 - (idle_after - idle) / (total_after - total)


def check_idle():
    """Warns when others use the machine."""
    load, busy = os.getloadavg()[0], busy_share()
    if busy is None or busy > IDLE:
        share = "unknown" if busy is None else f"{busy:.0%}"
        print(
            f"warning: the machine is not known to be idle (busy: {share}, load average "
            f"{load:.2f}): these numbers may say nothing",
            file=sys.stderr,
        )


def ask_once(step, question):
    """What our program prints when called with one word."""
    answer = subprocess.run([step, question], check=True, stdout=subprocess.PIPE, env=ENVIRONMENT)
    return json.loads(answer.stdout)


def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ours", required=True, help="the program of our side")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument("--only", metavar="W1,W2", help="these workloads alone")
    parser.add_argument("--json", metavar="FILE", help="write everything measured there too")
    given = parser.parse_args()
    workloads = ask_once(given.ours, "list")
    only = given.only.split(",") if given.only else list(workloads)
    if unknown := set(only) - set(workloads):
        parser.error(f"--only: {', '.join(sorted(unknown))} is none of {', '.join(workloads)}")
    given.rows = [(w, size) for w, sizes in workloads.items() if w in only for size in sizes]
    return given


def table(title, chosen, session):
    """Measures and prints the rows of a table."""
    if not chosen:
        return []
    print(f"\n{title}\n{SPEED_HEADER}")
    rows = []
    for workload, batch_size in chosen:
        rows.append(measure(session, workload, batch_size))
        print_speed(rows[-1])
        session.measure_peak()
    print_use(rows, session.peak)
    return rows


def main():
    """Measures what the command line asks for."""
    given = arguments()
    if hasattr(os, "sched_setaffinity"):  # JAX has no other way to set its threads
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
    check_idle()
    effort = QUICK if given.quick else FULL
    versions = {name: version(name) for name in ("torch", "jax")}
    print(
        f"Examples (W4: windows of 35 tokens) a second, {THREADS} threads; medians of "
        f"{effort.rounds} alternating rounds of {effort.seconds} s.\nPyTorch {versions['torch']}, "
        f"JAX {versions['jax']}; a ratio above 1 means that ours is faster."
    )
    if missing := allocators()[1]:
        print(f"Allocators that are not here, so not tried: {', '.join(missing)}.")
    with tempfile.TemporaryDirectory() as folder:
        session = Session(given.ours, effort, folder)
        session.measure_peak()
        large_rows = [row for row in given.rows if row[1] > SMALL]
        small_rows = [row for row in given.rows if row[1] <= SMALL]
        standard = table("Standard batch sizes", large_rows, session)
        small = table("Small batch sizes", small_rows, session)
    print(
        f"\nA large matrix product runs at {session.peak / 1e9:.0f} GFLOP/s. Forward is a pass "
        "without gradients, backward the rest of the passes."
    )
    if given.json:
        with open(given.json, "w", encoding="utf-8") as file:
            rows = {"standard": list(map(asdict, standard)), "small": list(map(asdict, small))}
            machine = {"peak": session.peak, "threads": THREADS, "versions": versions}
            json.dump({"machine": machine, "effort": asdict(effort), **rows}, file, indent=1)
    if small:
        print(f"geometric mean ratio to JAX, small batches: {geometric_mean(small, 'jax')}")
        print(f"geometric mean ratio to PyTorch, small batches: {geometric_mean(small, 'torch')}")
    print(f"geometric mean ratio to JAX: {geometric_mean(standard, 'jax')}")
    print(f"geometric mean ratio to PyTorch: {geometric_mean(standard, 'torch')}")


if __name__ == "__main__":
    main()
