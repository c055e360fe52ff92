"""How compare.py talks with the programs it compares: a line asks, a line of JSON answers.

* `prepare WORKLOAD START VARIANT` (peers only): makes the model of a workload from a file of
  weights and batch, in a variant such as `default` or `fused,channels_last`; `{"failed": reason}`
  if it cannot be had.
* `loss STEPS`: the mean loss of the batch after so many steps from the start.
* `time SECONDS`: the median seconds of a step, measured for about so long.
* `memory`: the most bytes of memory the process has held.

Our side, crates/batchscope/examples/step, measures in the same way.
"""

import json
import statistics
import sys
import time
from abc import ABC, abstractmethod

LEARNING_RATE, MOMENTUM, THREADS = 0.01, 0.9, 2

# Steps after a return to the start before the clock counts, and steps timed at least.
WARM_UP, FEWEST = 3, 5
# Steps from the start until the next return. One batch repeated for long starves most units, and
# their velocities decay into denormal numbers, which no real training computes with.
BLOCK = 200


class Trained(ABC):
    """A model in training on one batch."""

    # Steps timed together. More than one lets a framework that computes behind the caller's back
    # run ahead of it.
    together = 1

    @abstractmethod
    def restore(self):
        """Goes back to the start: first weights, velocities of zero."""

    @abstractmethod
    def step(self):
        """Takes a step; returns the loss before the update, as something that `float` takes."""

    def wait(self):
        """Waits until every step asked for has been taken."""


def loss_after(trained, steps):
    """The mean loss after `steps` steps from the start."""
    trained.restore()
    for _ in range(steps):
        trained.step()
    return float(trained.step())


def step_seconds(trained, seconds):
    """The median seconds of a step."""
    times, steps, end = [], 0, time.perf_counter() + seconds
    while len(times) < FEWEST or time.perf_counter() < end:
        if steps % BLOCK == 0:
            trained.restore()
            for _ in range(WARM_UP):
                trained.step()
            trained.wait()
        start = time.perf_counter()
        for _ in range(trained.together):
            trained.step()
        trained.wait()
        times.append((time.perf_counter() - start) / trained.together)
        steps += trained.together
    return statistics.median(times)


def peak_memory():
    """The most bytes of memory this process has held, as Linux tells it; None elsewhere."""
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM:"))
    except OSError:
        return None


def serve(prepare, more=None):
    """Answers standard input until it ends; `prepare(workload, start, variant)` makes a Trained,
    and `more` answers further questions by their name."""
    trained = None
    for line in sys.stdin:
        question, *words = line.split()
        if question == "prepare":
            trained = None  # the last one makes room first
            try:
                trained = prepare(*words)
                trained.step()
                trained.wait()
                answer = {}
            except Exception as error:  # a compiler may fail in any way: the variant is left out
                answer = {"failed": f"{type(error).__name__}: {error}"}
        elif question == "loss":
            answer = {"loss": loss_after(trained, int(words[0]))}
        elif question == "time":
            answer = {"seconds": step_seconds(trained, float(words[0]))}
        elif question == "memory":
            answer = {"bytes": peak_memory()}
        elif more and question in more:
            answer = more[question]()
        else:
            raise SystemExit(f"'{question}' is no question: see peer.py")
        print(json.dumps(answer), flush=True)
