"""Golden traces of optimizer steps from other implementations, written to traces.json beside this file.

Run on the CPU with PyTorch 2.x, timm 1.x, adamp 0.3:  python make_traces.py
Parameters: a matrix `weight`, a convolution's `kernel` and a vector `bias`, in PyTorch's layouts. The gradient of step k
is `0.5 * w + noise_k`: it depends on the parameters, so an error in one step shows in the next. Traces are stored in
batchscope's layouts: a matrix as [inputs, outputs], a kernel as PyTorch has it.
"""

import importlib.metadata
import json
import pathlib

import adamp
import timm
import timm.optim
import torch

STEPS = 20
torch.manual_seed(20240229)
START = {"weight": torch.randn(4, 3), "kernel": torch.randn(4, 3, 2, 2), "bias": torch.randn(4)}
NOISE = [{name: torch.randn_like(p) for name, p in START.items()} for _ in range(STEPS)]
RATES = [0.05 * (1.0 - 0.04 * k) for k in range(STEPS)]  # a schedule: the rate changes each step

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
    ("lars", {"momentum": 0.9, "trust_coefficient": 0.5}, {"decay": "weights"}),
    ("lars", {"momentum": 0.8, "trust_coefficient": 0.2, "weight_decay": 0.1}, {"decay": "weights"}),
    ("lars", {"momentum": 0.0, "trust_coefficient": 0.3, "weight_decay": 0.05}, {"decay": "weights"}),
    ("lamb", {"betas": [0.9, 0.999], "eps": 1e-6}, {"decay": "weights"}),
    ("lamb", {"betas": [0.8, 0.95], "eps": 1e-6, "weight_decay": 0.1}, {"decay": "weights"}),
    ("lamb", {"betas": [0.9, 0.99], "eps": 1e-3, "weight_decay": 0.1, "bias_correction": False}, {"decay": "weights"}),
    # δ large enough for channels, for whole tensors and for neither to be projected
    ("adamp", {"betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.1, "delta": 2.5}, {}),
    ("adamp", {"betas": [0.8, 0.95], "eps": 1e-6, "weight_decay": 0.2, "delta": 1.0, "nesterov": True}, {"decay": "weights"}),
    ("adamp", {"betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.1}, {}),
    ("sgdp", {"momentum": 0.9, "weight_decay": 0.02, "delta": 2.5}, {}),
    ("sgdp", {"momentum": 0.8, "weight_decay": 0.05, "delta": 1.0, "nesterov": True, "decay_ratio": 0.5}, {}),
    ("sgdp", {"momentum": 0.5}, {}),
]

CLASSES = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "lars": timm.optim.Lars,
    "lamb": timm.optim.Lamb,
    "adamp": adamp.AdamP,
    # adamp 0.3 writes the projected direction into the velocity, where the two are one tensor.
    "sgdp": timm.optim.SGDP,
}
# Optimizers that go by a tensor's norms leave biases alone, which timm tells by their weight decay of 0.
BY_NORMS = {"lars", "lamb"}
# Names there that are others here.
RENAMED = {"trust_coefficient": "trust_coeff", "decay_ratio": "wd_ratio"}


def run(kind, settings, extra):
    parameters = {name: p.clone().requires_grad_() for name, p in START.items()}
    groups = [{"params": [parameters["weight"], parameters["kernel"]]}, {"params": [parameters["bias"]]}]
    settings = {RENAMED.get(name, name): value for name, value in settings.items()}
    if extra.get("decay") == "weights":
        groups[1]["weight_decay"] = 0.0
    if kind in BY_NORMS:
        groups[0]["always_adapt"], groups[1]["always_adapt"] = True, False
    # Some decay unless they are told not to.
    settings.setdefault("weight_decay", 0.0)
    if kind == "lamb":
        settings["max_grad_norm"] = None
    if kind in ("sgd", "adam", "adamw"):
        settings["foreach"] = False
    optimizer = CLASSES[kind](groups, lr=1.0, **settings)
    trace = []
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = RATES[step]
        for name, p in parameters.items():
            p.grad = 0.5 * p.detach() + NOISE[step][name]
        if "clip" in extra:
            torch.nn.utils.clip_grad_norm_(parameters.values(), extra["clip"])
        optimizer.step()
        trace.append(flat(parameters))
    return trace


def flat(tensors):
    """Values in batchscope's layouts, to the nine digits that single precision needs."""
    ours = lambda p: p.detach().T if p.dim() == 2 else p.detach()
    digits = lambda p: [float(f"{x:.9g}") for x in ours(p).flatten().tolist()]
    return {name: digits(p) for name, p in tensors.items()}


document = {
    "made_by": f"PyTorch {torch.__version__}, timm {timm.__version__}, adamp {importlib.metadata.version('adamp')}",
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
