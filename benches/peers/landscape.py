"""Curvature and sharpness beside PyHessian and scripts over PyTorch and SciPy.

All sides start from one file of weights and examples, and run in processes of their own, in turn, each
alone on the machine. A ratio is printed only where the answers agree: an eigenvalue to one per cent,
its residual at most 1e-3 of it; the mean sharpness of five random starts within the scatter of both
sides' starts (three standard errors of their difference).

PyHessian (Yao et al. 2020) stops when the eigenvalue changes by less than `tol` between two power
iterations, which says nothing of the residual: `tol` is lowered tenfold until the residual is small
enough, and only the last, sufficient run counts. `scipy` is ARPACK (`eigsh`, tol 1e-3) over exact
Hessian-vector products, in single precision as PyHessian computes, and for the
sharpness `fmin_l_bfgs_b` on the loss and gradient.
"""

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

THREADS = 2
RESIDUAL = 1e-3
EPSILON, STARTS, ITERATIONS = 1e-3, 5, 10


# ---- the peers' side, in a process of its own -------------------------------------------------


def f1():
    """Keskar's F1: five hidden layers of 512 with batch norm, linear layers without bias."""
    from torch import nn

    class Hidden(nn.Module):
        def __init__(self, inputs):
            super().__init__()
            self.linear = nn.Linear(inputs, 512, bias=False)
            self.norm = nn.BatchNorm1d(512)

        def forward(self, x):
            return nn.functional.relu(self.norm(self.linear(x)))

    class F1(nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden = nn.ModuleList([Hidden(784)] + [Hidden(512) for _ in range(4)])
            self.output = nn.Linear(512, 10)

        def forward(self, x):
            x = x.flatten(1)
            for hidden in self.hidden:
                x = hidden(x)
            return self.output(x)

    return F1()


def f1_name(name):
    """Our name of a tensor as PyTorch has it: `linear2.norm.weight` is `hidden.1.norm.weight`."""
    layer, _, rest = name.partition(".")
    if layer == "output":
        return name
    part = rest.replace("running_variance", "running_var")
    part = part if part.startswith("norm.") else f"linear.{part}"
    return f"hidden.{int(layer.removeprefix('linear')) - 1}.{part}"


def loaded(model_name, start):
    """The model in evaluation mode, the inputs and the labels."""
    import numpy
    import torch
    from safetensors.numpy import load_file

    torch.set_num_threads(THREADS)
    state = load_file(start)
    x = torch.from_numpy(state.pop("inputs").transpose(0, 3, 1, 2).copy())
    y = torch.from_numpy(state.pop("labels").astype("int64"))
    if model_name == "lenet":
        from workloads_torch import LeNet, load

        model = LeNet()
        load(model, "W2", state)
    else:
        model = f1()
        there = model.state_dict()
        for name, values in state.items():
            values = values.T if values.ndim == 2 else values
            values = torch.from_numpy(numpy.ascontiguousarray(values))
            name = f1_name(name)
            assert there[name].shape == values.shape, name
            there[name] = values
        model.load_state_dict(there)
    return model.eval(), x, y


def loss_of(model, x, y):
    """The mean loss, a thousand examples at a time: a graph of them all is slower, and larger."""
    from torch.nn import functional

    for part_x, part_y in zip(x.split(1000), y.split(1000)):
        yield functional.cross_entropy(model(part_x), part_y, reduction="sum") / len(y)


def hessian_product(model, x, y, parameters):
    """Exact Hessian-vector products of the mean loss: a backward pass through the gradient's graph,
    which is made once and kept, as PyHessian keeps it."""
    import torch
    from torch.nn import functional

    loss = functional.cross_entropy(model(x), y)
    gradients = torch.autograd.grad(loss, parameters, create_graph=True)
    return lambda v: torch.autograd.grad(gradients, parameters, grad_outputs=v, retain_graph=True)


def relative_residual(product, value, vector):
    """`|Hv - λv| / |λ|` of a unit vector."""
    length = math.sqrt(sum(float((v * v).sum()) for v in vector))
    vector = [v / length for v in vector]
    off = [h - value * v for h, v in zip(product(vector), vector)]
    return math.sqrt(sum(float((o * o).sum()) for o in off)) / abs(value)


def with_pyhessian(model, x, y):
    import torch
    from pyhessian import hessian

    parameters = [p for p in model.parameters() if p.requires_grad]
    tol = 1e-3
    while tol > 1e-9:
        torch.manual_seed(0)
        began = time.perf_counter()
        computed = hessian(model, torch.nn.CrossEntropyLoss(), data=(x, y), cuda=False)
        values, vectors = computed.eigenvalues(maxIter=1000, tol=tol, top_n=1)
        seconds = time.perf_counter() - began
        product = hessian_product(model, x, y, parameters)
        residual = relative_residual(product, values[0], vectors[0])
        if residual <= RESIDUAL:
            break
        tol /= 10
    return {"value": values[0], "residual": residual, "seconds": seconds, "tol": tol}


def with_arpack(model, x, y):
    import numpy
    import torch
    from scipy.sparse.linalg import LinearOperator, eigsh

    parameters = [p for p in model.parameters() if p.requires_grad]
    sizes = [p.numel() for p in parameters]
    began = time.perf_counter()
    product = hessian_product(model, x, y, parameters)
    products = 0

    def shaped(v):
        parts = torch.from_numpy(numpy.asarray(v, dtype="float32")).split(sizes)
        return [part.view_as(p) for part, p in zip(parts, parameters)]

    def apply(v):
        nonlocal products
        products += 1
        return torch.cat([h.flatten() for h in product(shaped(v.ravel()))]).numpy()

    n = sum(sizes)
    start = numpy.random.default_rng(0).standard_normal(n).astype("float32")
    operator = LinearOperator((n, n), matvec=apply, dtype="float32")
    values, vectors = eigsh(operator, k=1, which="LA", tol=RESIDUAL, v0=start)
    seconds = time.perf_counter() - began
    residual = relative_residual(product, float(values[0]), shaped(vectors[:, 0]))
    return {"value": float(values[0]), "residual": residual, "seconds": seconds, "products": products}


def with_lbfgsb(model, x, y):
    """Keskar's sharpness: full space, box of half-width ε(|x| + 1), random starts in it."""
    import numpy
    import torch
    from scipy.optimize import fmin_l_bfgs_b

    parameters = [p for p in model.parameters() if p.requires_grad]
    sizes = [p.numel() for p in parameters]
    first = torch.cat([p.detach().flatten() for p in parameters]).double().numpy()
    evaluations = 0

    def minus_loss(z):
        nonlocal evaluations
        evaluations += 1
        at = torch.from_numpy((first + z).astype("float32")).split(sizes)
        with torch.no_grad():
            for p, part in zip(parameters, at):
                p.copy_(part.view_as(p))
        model.zero_grad()
        total = 0.0
        for loss in loss_of(model, x, y):
            loss.backward()
            total += float(loss)
        gradient = torch.cat([p.grad.flatten() for p in parameters]).double().numpy()
        return -total, -gradient

    reach = EPSILON * (numpy.abs(first) + 1)
    draws = numpy.random.default_rng(0)
    began = time.perf_counter()
    at_point = -minus_loss(numpy.zeros_like(first))[0]
    phis = []
    for _ in range(STARTS):
        z = reach * draws.uniform(-1, 1, len(first))
        _, low, _ = fmin_l_bfgs_b(minus_loss, z, bounds=list(zip(-reach, reach)), maxiter=ITERATIONS)
        phis.append(100 * max(-low - at_point, 0) / (1 + at_point))
    seconds = time.perf_counter() - began
    mean = statistics.mean(phis)
    return {"value": mean, "starts": phis, "loss": at_point, "evaluations": evaluations, "seconds": seconds}


PEERS = {"pyhessian": with_pyhessian, "scipy": with_arpack, "l-bfgs-b": with_lbfgsb}


def peer(which, model_name, start):
    """Measures once and prints a line of JSON."""
    try:
        answer = PEERS[which](*loaded(model_name, start))
    except ImportError as error:
        answer = {"failed": str(error)}
    print(json.dumps(answer))


# ---- the comparison ---------------------------------------------------------------------------


def run(command):
    """The answer of a side, the last line it prints."""
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent)
    if done.returncode != 0:
        return {"failed": done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "it failed"}
    return json.loads(done.stdout.strip().splitlines()[-1])


def sides(ours, task, model, start, peers):
    """The commands of all sides."""
    here = [sys.executable, __file__]
    mine = {f"batchscope {p}": [ours, task, model, start, p] for p in ("f32", "f64")}
    return mine | {name: [*here, "--peer", name, model, start] for name in peers}


def measured(commands, rounds):
    """All answers of every side, taken in turn; the answer is the one of median time."""
    answers = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            if not (answers[name] and "failed" in answers[name][-1]):
                answers[name].append(run(command))
    median = {}
    for name, given in answers.items():
        sound = sorted((a for a in given if "failed" not in a), key=lambda a: a["seconds"])
        median[name] = sound[len(sound) // 2] if sound else given[-1]
    return median


def same_eigenvalue(a, b):
    close = abs(a["value"] / b["value"] - 1) < 0.01
    return close and a["residual"] <= 1.05 * RESIDUAL and b["residual"] <= 1.05 * RESIDUAL


def same_sharpness(a, b):
    error = math.sqrt(sum(statistics.variance(s["starts"]) / len(s["starts"]) for s in (a, b)))
    return abs(a["loss"] / b["loss"] - 1) < 1e-3 and abs(a["value"] - b["value"]) <= max(3 * error, 0.05 * b["value"])


def table(title, answers, same, unit):
    print(f"\n{title}\n")
    print(f"| side | {unit} | residual | seconds | batchscope f32 is | batchscope f64 is |\n| --- | --- | --- | --- | --- | --- |")
    for name, answer in answers.items():
        if "failed" in answer:
            print(f"| {name} | failed: {answer['failed']} | | | | |")
            continue
        ratios = []
        for mine in ("batchscope f32", "batchscope f64"):
            other = answers[mine]
            if name.startswith("batchscope"):
                ratios.append("")
            elif "failed" in other or not same(other, answer):
                ratios.append("answers differ")
            else:
                ratios.append(f"{answer['seconds'] / other['seconds']:.2f}× as fast")
        residual = f"{answer['residual']:.1e}" if "residual" in answer else ""
        print(f"| {name} | {answer['value']:.6g} | {residual} | {answer['seconds']:.2f} | {ratios[0]} | {ratios[1]} |")


def main():
    parser = argparse.ArgumentParser(description="Curvature and sharpness beside the peers.")
    parser.add_argument("--ours", help="our program, the example `landscape`")
    parser.add_argument("--quick", action="store_true", help="one round on few examples")
    parser.add_argument("--json", metavar="FILE", help="write all answers there")
    parser.add_argument("--peer", nargs=3, metavar=("WHICH", "MODEL", "START"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peer:
        return peer(*arguments.peer)
    rounds, examples = (1, 1000) if arguments.quick else (3, 2000)
    with tempfile.TemporaryDirectory() as folder:
        tasks = {}
        for task, model, peers in (
            ("eigenvalue", "lenet", ("pyhessian", "scipy")),
            ("sharpness", "f1", ("l-bfgs-b",)),
        ):
            start = str(Path(folder) / f"{model}.safetensors")
            subprocess.run([arguments.ours, "start", model, str(examples), "300", start], check=True)
            tasks[task] = measured(sides(arguments.ours, task, model, start, peers), rounds)
    table(
        f"Largest Hessian eigenvalue of LeNet, {examples} examples, relative residual 1e-3",
        tasks["eigenvalue"], same_eigenvalue, "eigenvalue",
    )
    table(
        f"Keskar's sharpness of F1, full space, ε = 1e-3, {STARTS} starts of {ITERATIONS} iterations, {examples} examples",
        tasks["sharpness"], same_sharpness, "φ, %",
    )
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(tasks, indent=2) + "\n")


if __name__ == "__main__":
    main()
