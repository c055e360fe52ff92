"""The programs that are compared, and the choice of the variants in which a peer is fastest."""

import json
import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass

from allocators import allocators
from peer import THREADS

HERE = os.path.dirname(os.path.abspath(__file__))

# Workloads for which PyTorch's memory format makes a difference.
WITH_IMAGES = ("W2", "W3")

ENVIRONMENT = {
    **os.environ,
    "RAYON_NUM_THREADS": str(THREADS),
    "OMP_NUM_THREADS": str(THREADS),
    "MKL_NUM_THREADS": str(THREADS),
    "JAX_PLATFORMS": "cpu",
    "TORCHINDUCTOR_COMPILE_THREADS": "1",
}


class Ended(Exception):
    """A program ended where an answer was due."""


class Program:
    """A process that answers questions, as peer.py has them."""

    def __init__(self, command, environment=None):
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            cwd=HERE,
            env={**ENVIRONMENT, **(environment or {})},
        )

    def ask(self, *question):
        """The answer to a question."""
        with suppress(BrokenPipeError):  # then no answer follows
            print(*question, file=self.process.stdin, flush=True)
        while line := self.process.stdout.readline():
            if line.startswith("{"):  # libraries may print too
                return json.loads(line)
        self.log.seek(0)
        last = self.log.read().strip().splitlines()[-5:]
        command = " ".join(self.process.args)
        raise Ended(f"{command} ended with {self.process.wait()}: " + "\n".join(last))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
        self.log.close()


@dataclass(frozen=True)
class Variant:
    """A way to run a peer."""

    framework: str
    options: str
    allocator: str

    def __str__(self):
        return f"{self.options.replace(',', ', ')}; {self.allocator}"

    def program(self):
        """A process of it."""
        environment = allocators()[0][self.allocator]
        return Program([sys.executable, f"workloads_{self.framework}.py"], environment)


def try_variants(variants, workload, start, seconds):
    """Seconds of a step in each of some variants of one framework and allocator, and why not."""
    times, failures = {}, {}
    with variants[0].program() as program:
        for variant in variants:
            answer = program.ask("prepare", workload, start, variant.options)
            if "failed" in answer:
                failures[variant] = answer["failed"]
            else:
                times[variant] = program.ask("time", seconds)["seconds"]
    return times, failures


def select(framework, workload, start, seconds):
    """The two fastest variants of a framework at a workload, and why others could not be had.

    Every allocator is tried with all that needs no compiler; torch.compile, which takes long, then
    with the best allocator.
    """
    eager, compiled = ["default"], []
    if framework == "torch":
        eager.append("fused")
        if workload in WITH_IMAGES:
            eager += ["channels_last", "fused,channels_last"]
        compiled = [
            "compile" if options == "default" else f"compile,{options}" for options in eager
        ]
    times, failures = {}, {}

    def try_out(options, allocator):
        variants = [Variant(framework, option, allocator) for option in options]
        try:
            new = try_variants(variants, workload, start, seconds)
        except Ended as ended:
            new = {}, {variants[0]: str(ended)}
        times.update(new[0])
        failures.update(new[1])

    for allocator in allocators()[0]:
        try_out(eager, allocator)
    if compiled and times:
        try_out(compiled, min(times, key=times.get).allocator)
    best = sorted(times, key=times.get)[:2]
    return best, [f"{framework}, {variant}: {why}" for variant, why in failures.items()]
