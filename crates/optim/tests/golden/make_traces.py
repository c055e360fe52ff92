"""Golden traces of optimizer steps from other implementations, written to traces.json beside this file.

Run on the CPU with PyTorch 2.x, timm 1.x, adamp 0.3, schedulefree 1.4:  python make_traces.py
Parameters: a matrix `weight`, a convolution's `kernel`, a vector `bias` and a last matrix `head.weight`, in PyTorch's
layouts. The gradient of step k is `0.5 * w + noise_k`: it depends on the parameters, so an error in one step shows in the next. Traces are stored in
batchscope's layouts: a matrix as [inputs, outputs], a kernel as PyTorch has it.
"""

import importlib.metadata
import json
import pathlib

import adamp
import schedulefree
import timm
import timm.optim
import timm.optim.muon
import torch

STEPS = 20
torch.manual_seed(20240229)
SHAPES = {"weight": (4, 3), "kernel": (4, 3, 2, 2), "bias": (4,), "head.weight": (2, 4)}
START = {name: torch.randn(shape) for name, shape in SHAPES.items()}
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
    ("muon", {"betas": [0.9, 0.95], "eps": 1e-7}, {}),
    ("muon", {"betas": [0.9, 0.95], "eps": 1e-7, "momentum": 0.9, "nesterov": False, "adjust_lr_fn": "original",
              "weight_decay": 0.1}, {"decay": "weights"}),
    ("muon", {"betas": [0.8, 0.9], "momentum": 0.0, "adjust_lr_fn": "original", "eps": 1e-7}, {"clip": 1.0}),
    ("schedule_free_sgd", {"momentum": 0.9}, {}),
    ("schedule_free_sgd", {"momentum": 0.5, "weight_decay": 0.1, "r": 1.0}, {"decay": "weights"}),
    ("schedule_free_adamw", {"betas": [0.9, 0.999], "eps": 1e-8}, {}),
    ("schedule_free_adamw", {"betas": [0.8, 0.95], "eps": 1e-3, "weight_decay": 0.1, "weight_lr_power": 1.0}, {}),
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
    "muon": timm.optim.Muon,
    "schedule_free_sgd": schedulefree.SGDScheduleFree,
    "schedule_free_adamw": schedulefree.AdamWScheduleFree,
}
# timm orthogonalizes in bfloat16, of eight bits; here in single precision, as batchscope does.
newton_schulz = timm.optim.muon.zeropower_via_newtonschulz
timm.optim.muon.zeropower_via_newtonschulz = lambda *a, **k: newton_schulz(*a, **k, dtype=torch.float32)
# Optimizers that go by a tensor's norms leave biases alone, which timm tells by their weight decay of 0.
BY_NORMS = {"lars", "lamb"}
# Names there that are others here.
RENAMED = {"trust_coefficient": "trust_coeff", "decay_ratio": "wd_ratio"}


def run(kind, settings, extra):
    parameters = {name: p.clone().requires_grad_() for name, p in START.items()}
    weights = [parameters[name] for name in SHAPES if name != "bias"]
    groups = [{"params": weights}, {"params": [parameters["bias"]]}]
    settings = {RENAMED.get(name, name): value for name, value in settings.items()}
    if extra.get("decay") == "weights":
        groups[1]["weight_decay"] = 0.0
    if kind in BY_NORMS:
        groups[0]["always_adapt"], groups[1]["always_adapt"] = True, False
    # Some decay unless they are told not to.
    settings.setdefault("weight_decay", 0.0)
    if kind == "muon":
        # The head is AdamW's. timm leaves it small matrices too, and has other coefficients unless told.
        groups[0]["use_muon"], settings["ns_coefficients"] = True, "original"
        groups.insert(1, {"params": [groups[0]["params"].pop()], "use_fallback": True})
        # With the look-ahead, timm takes NAdamW for AdamW.
        groups[1]["nesterov"] = groups[2]["nesterov"] = False
        settings.setdefault("nesterov", True)
    if kind.startswith("schedule_free"):
        settings["foreach"] = False
    if kind == "lamb":
        settings["max_grad_norm"] = None
    if kind in ("sgd", "adam", "adamw"):
        settings["foreach"] = False
    optimizer = CLASSES[kind](groups, lr=1.0, **settings)
    is_averaged = kind.startswith("schedule_free")
    if is_averaged:
        optimizer.train()
    trace, averages = [], []
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = RATES[step]
        for name, p in parameters.items():
            p.grad = 0.5 * p.detach() + NOISE[step][name]
        if "clip" in extra:
            torch.nn.utils.clip_grad_norm_(parameters.values(), extra["clip"])
        optimizer.step()
        trace.append(flat(parameters))
        if is_averaged:
            beta = settings["momentum"] if "momentum" in settings else settings["betas"][0]
            average = lambda p: p.detach().lerp(optimizer.state[p]["z"], 1 - 1 / beta)
            averages.append(flat({name: average(p) for name, p in parameters.items()}))
    return {"trace": trace, **({"averages": averages} if averages else {})}


def flat(tensors):
    """Values in batchscope's layouts, to the nine digits that single precision needs."""
    ours = lambda p: p.detach().T if p.dim() == 2 else p.detach()
    digits = lambda p: [float(f"{x:.9g}") for x in ours(p).flatten().tolist()]
    return {name: digits(p) for name, p in tensors.items()}


document = {
    "made_by": ", ".join(
        [f"PyTorch {torch.__version__}"]
        + [f"{name} {importlib.metadata.version(name)}" for name in ("timm", "adamp", "schedulefree")]
    ),
    "start": flat(START),
    "noise": [flat(n) for n in NOISE],
    "rates": RATES,
    "cases": [
        {"kind": kind, "settings": settings, **extra, **run(kind, settings, extra)}
        for kind, settings, extra in CASES
    ],
}
path = pathlib.Path(__file__).with_name("traces.json")
path.write_text(json.dumps(document, indent=None, separators=(",", ":")).replace('{"kind"', '\n{"kind"') + "\n")
