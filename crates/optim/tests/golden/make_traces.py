"""Golden traces of optimizer steps from PyTorch, written to traces.json beside this file.

Run with PyTorch 2.x on the CPU:  python make_traces.py
Parameters: a matrix `weight` [3, 4] and a vector `bias` [4]. The gradient of step k is
`0.5 * w + noise_k`: it depends on the parameters, so an error in one step shows in the next.
"""

import json
import pathlib

import torch

STEPS = 12
torch.manual_seed(20240229)
START = {"weight": torch.randn(3, 4), "bias": torch.randn(4)}
NOISE = [{name: torch.randn_like(p) for name, p in START.items()} for _ in range(STEPS)]
RATES = [0.05 * (1.0 - 0.06 * k) for k in range(STEPS)]  # a schedule: the rate changes each step

CASES = [
    ("sgd", {}, {}),
    ("sgd", {"weight_decay": 0.1}, {}),
    ("sgd", {"momentum": 0.9}, {}),
    ("sgd", {"momentum": 0.9, "weight_decay": 0.05}, {}),
    ("sgd", {"momentum": 0.8, "nesterov": True}, {}),
    ("sgd", {"momentum": 0.8, "nesterov": True, "weight_decay": 0.05}, {}),
    ("adam", {"betas": [0.9, 0.999], "eps": 1e-8}, {}),
    ("adam", {"betas": [0.8, 0.95], "eps": 1e-3, "weight_decay": 0.1}, {}),
    ("adamw", {"betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.1}, {}),
    ("adamw", {"betas": [0.5, 0.9], "eps": 1e-6, "weight_decay": 0.5}, {}),
    # biases not decayed
    ("sgd", {"momentum": 0.9, "weight_decay": 0.2}, {"decay": "weights"}),
    ("adam", {"betas": [0.9, 0.99], "eps": 1e-8, "weight_decay": 0.2}, {"decay": "weights"}),
    ("adamw", {"betas": [0.9, 0.99], "eps": 1e-8, "weight_decay": 0.2}, {"decay": "weights"}),
    # clipped by the global norm
    ("sgd", {"momentum": 0.9}, {"clip": 1.0}),
    ("adamw", {"betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.1}, {"clip": 1.0}),
]
CLASSES = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}


def run(kind, settings, extra):
    parameters = {name: p.clone().requires_grad_() for name, p in START.items()}
    groups = [{"params": [parameters["weight"]]}, {"params": [parameters["bias"]]}]
    if extra.get("decay") == "weights":
        groups[1]["weight_decay"] = 0.0
    optimizer = CLASSES[kind](groups, lr=1.0, foreach=False, **settings)
    trace = []
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = RATES[step]
        for name, p in parameters.items():
            p.grad = 0.5 * p.detach() + NOISE[step][name]
        if "clip" in extra:
            torch.nn.utils.clip_grad_norm_(parameters.values(), extra["clip"])
        optimizer.step()
        trace.append({name: p.detach().flatten().tolist() for name, p in parameters.items()})
    return trace


flat = lambda tensors: {name: p.flatten().tolist() for name, p in tensors.items()}
document = {
    "made_by": f"PyTorch {torch.__version__}",
    "shapes": {name: list(p.shape) for name, p in START.items()},
    "start": flat(START),
    "noise": [flat(n) for n in NOISE],
    "rates": RATES,
    "cases": [
        {"kind": kind, "settings": settings, **extra, "trace": run(kind, settings, extra)}
        for kind, settings, extra in CASES
    ],
}
path = pathlib.Path(__file__).with_name("traces.json")
path.write_text(json.dumps(document, indent=None, separators=(",", ":")).replace('{"kind"', '\n{"kind"') + "\n")
