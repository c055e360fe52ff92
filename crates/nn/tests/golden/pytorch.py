"""Golden values of two training steps of every model, from PyTorch in double precision.

Weights, inputs and labels come from an integer hash that the test repeats exactly, so the file
holds only results: losses, and of every gradient and state its norm and its product with a fixed
vector. Models are written with torch.nn.functional on parameters in batchscope's canonical shapes.

    python3 pytorch.py > pytorch.json
"""

import json
import math

import numpy as np
import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
MASK = (1 << 64) - 1


def hashed(seed, n):
    """The integers of a sequence, 24 bits each."""
    i = np.arange(n, dtype=np.uint64)
    with np.errstate(over="ignore"):
        h = i * np.uint64(0x9E3779B97F4A7C15) + np.uint64(((seed + 1) * 0xBF58476D1CE4E5B9) & MASK)
        h = (h ^ (h >> np.uint64(31))) * np.uint64(0x94D049BB133111EB)
        h = h ^ (h >> np.uint64(29))
    return h >> np.uint64(40)


def value(seed, *shape):
    """Numbers in [-1, 1), exact in single precision."""
    return torch.tensor(hashed(seed, math.prod(shape)).astype(np.float64) / 2**23 - 1.0).reshape(shape)


class Parameters:
    """Leaves in the order of the layout, handed out in that order."""

    def __init__(self, shift):
        """`shift`: mean of the shifts of the batch norms."""
        self.leaves, self.buffers, self.at, self.shift = [], {}, 0, shift

    def get(self, kind, *shape):
        if self.at == len(self.leaves):
            v = value(self.at, *shape)
            if kind == "matrix":
                v = v / math.sqrt(shape[0])
            elif kind == "kernel":
                v = v / math.sqrt(shape[1] * shape[2] * shape[3])
            elif kind == "scale":
                v = 1 + 0.25 * v
            elif kind == "shift":
                v = self.shift + 0.125 * v
            else:
                v = 0.125 * v
            # The test's parameters are in single precision.
            self.leaves.append(v.to(torch.float32).to(torch.float64).requires_grad_())
        self.at += 1
        return self.leaves[self.at - 1]

    def running(self, name, channels):
        key = f"{name}.running_"
        if key + "mean" not in self.buffers:
            self.buffers[key + "mean"] = torch.zeros(channels)
            self.buffers[key + "variance"] = torch.ones(channels)
        return self.buffers[key + "mean"], self.buffers[key + "variance"]


def linear(p, x, outputs, bias=True):
    w = p.get("matrix", x.shape[1], outputs)
    return F.linear(x, w.T, p.get("bias", outputs) if bias else None)


def conv(p, x, channels, size, stride, padding, bias=True, dilation=1, groups=1):
    w = p.get("kernel", channels, x.shape[1] // groups, size, size)
    return F.conv2d(x, w, p.get("bias", channels) if bias else None, stride, padding, dilation, groups)


def norm(p, name, x, training):
    c = x.shape[1]
    mean, variance = p.running(name, c)
    return F.batch_norm(x, mean, variance, p.get("scale", c), p.get("shift", c), training, 0.1, 1e-5)


def flat(x):
    """Flattened as height, width, channels."""
    return x.permute(0, 2, 3, 1).reshape(x.shape[0], -1)


def mlp(p, x, training, widths, outputs, normed):
    x = flat(x) if x.ndim == 4 else x
    for i, width in enumerate(widths, 1):
        x = linear(p, x, width, bias=not normed)
        x = F.relu(norm(p, f"linear{i}.norm", x, training) if normed else x)
    return linear(p, x, outputs)


def lenet(p, x, training, outputs):
    x = F.max_pool2d(F.relu(conv(p, x, 16, 5, 1, 0)), 2)
    x = F.max_pool2d(F.relu(conv(p, x, 32, 5, 1, 0)), 2)
    return linear(p, F.relu(linear(p, flat(x), 128)), outputs)


def conv_norm(p, name, x, channels, size, stride, training, dilation=1, groups=1):
    y = conv(p, x, channels, size, stride, dilation * (size // 2), False, dilation, groups)
    return norm(p, f"{name}.norm", y, training)


def c1(p, x, training, outputs):
    for i in (1, 2):
        x = F.max_pool2d(F.relu(conv_norm(p, f"conv{i}", x, 64, 5, 1, training)), 3, 2, 1)
    x = flat(x)
    for i, width in ((1, 384), (2, 192)):
        x = F.relu(norm(p, f"linear{i}.norm", linear(p, x, width, bias=False), training))
    return linear(p, x, outputs)


STACKS = [(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)]


def vgg(p, x, training, outputs, hidden):
    for s, (number, channels) in enumerate(STACKS, 1):
        for i in range(1, number + 1):
            x = F.relu(conv_norm(p, f"conv{s}.{i}", x, channels, 3, 1, training))
        x = F.max_pool2d(x, 2)
    x = flat(x)
    if hidden:
        x = F.relu(norm(p, "linear1.norm", linear(p, x, hidden, bias=False), training))
    return linear(p, x, outputs)


def alexnet(p, x, outputs):
    x = F.max_pool2d(F.relu(conv(p, x, 64, 11, 4, 5)), 2)
    x = F.max_pool2d(F.relu(conv(p, x, 192, 5, 1, 2)), 2)
    x = F.relu(conv(p, x, 384, 3, 1, 1))
    x = F.relu(conv(p, x, 256, 3, 1, 1))
    x = F.max_pool2d(F.relu(conv(p, x, 256, 3, 1, 1)), 2)
    return linear(p, flat(x), outputs)


def mobilenet(p, x, training, outputs, channels, imagenet):
    """Channels of the stem and of the seven stages."""
    early = 2 if imagenet else 1
    x = F.relu6(conv_norm(p, "stem", x, channels[0], 3, early, training))
    settings = [(1, 1, 1), (6, 2, early), (6, 3, 2), (6, 4, 2), (6, 3, 1), (6, 3, 2), (6, 1, 1)]
    for s, ((expansion, depth, stride), width) in enumerate(zip(settings, channels[1:]), 1):
        for b in range(1, depth + 1):
            name, y, wide = f"stage{s}.block{b}", x, expansion * x.shape[1]
            if expansion > 1:
                y = F.relu6(conv_norm(p, f"{name}.expand", y, wide, 1, 1, training))
            stride = stride if b == 1 else 1
            y = F.relu6(conv_norm(p, f"{name}.depthwise", y, wide, 3, stride, training, groups=wide))
            y = conv_norm(p, f"{name}.project", y, width, 1, 1, training)
            x = x + y if x.shape == y.shape else y
    x = F.relu6(conv_norm(p, "last", x, 1280, 1, 1, training))
    return linear(p, x.mean((2, 3)), outputs)


def drn(p, x, training, outputs, pixels):
    size = x.shape[2:]
    for i, (channels, side, stride) in enumerate([(16, 7, 1), (16, 3, 1), (32, 3, 2)], 1):
        x = F.relu(conv_norm(p, f"stem.conv{i}", x, channels, side, stride, training))
    for s, (channels, stride, d) in enumerate([(64, 2, 1), (128, 2, 1), (256, 1, 2), (512, 1, 4)], 1):
        for b in (1, 2):
            name, stride = f"stage{s}.block{b}", stride if b == 1 else 1
            y = F.relu(conv_norm(p, f"{name}.conv1", x, channels, 3, stride, training, d))
            y = conv_norm(p, f"{name}.conv2", y, channels, 3, 1, training, d)
            if x.shape != y.shape:
                x = conv_norm(p, f"{name}.shortcut", x, channels, 1, stride, training)
            x = F.relu(x + y)
    for i, d in ((1, 2), (2, 1)):
        x = F.relu(conv_norm(p, f"smooth.conv{i}", x, 512, 3, 1, training, d))
    if not pixels:
        return linear(p, x.mean((2, 3)), outputs)
    x = conv(p, x, outputs, 1, 1, 0)
    # The frozen kernel of the authors' `fill_up_weights`.
    one = 1 - (torch.arange(16) / 8 - 15 / 16).abs()
    kernel = torch.outer(one, one).expand(outputs, 1, 16, 16)
    x = F.conv_transpose2d(x, kernel, stride=8, padding=4, groups=outputs)
    return x[:, :, : size[0], : size[1]].permute(0, 2, 3, 1).reshape(-1, outputs)


def row_lstm(p, x, outputs, width):
    rows = x.permute(0, 2, 3, 1).flatten(2)
    w, u = p.get("matrix", rows.shape[2], 4 * width), p.get("matrix", width, 4 * width)
    b = p.get("bias", 4 * width)
    module = torch.nn.LSTM(rows.shape[2], width, batch_first=True)
    weights = {"weight_ih_l0": w.T, "weight_hh_l0": u.T, "bias_ih_l0": b, "bias_hh_l0": torch.zeros_like(b)}
    y, _ = torch.func.functional_call(module, weights, (rows,))
    return linear(p, y[:, -1], outputs)


def resnet(p, x, training, outputs, stages):
    x = F.relu(conv_norm(p, "stem", x, stages[0][1], 3, 1, training))
    for s, (depth, channels) in enumerate(stages, 1):
        for b in range(1, depth + 1):
            stride, name = 2 if s > 1 and b == 1 else 1, f"stage{s}.block{b}"
            y = F.relu(conv_norm(p, f"{name}.conv1", x, channels, 3, stride, training))
            y = conv_norm(p, f"{name}.conv2", y, channels, 3, 1, training)
            if x.shape != y.shape:
                x = conv_norm(p, f"{name}.shortcut", x, channels, 1, stride, training)
            x = F.relu(x + y)
    return linear(p, x.mean((2, 3)), outputs)


def lstm(p, tokens, training, layers, width, vocabulary, tied, states):
    embedding = p.get("embedding", vocabulary, width)
    x = F.embedding(tokens, embedding)
    for i in range(1, layers + 1):
        w, u = p.get("matrix", width, 4 * width), p.get("matrix", width, 4 * width)
        b = p.get("bias", 4 * width)
        module = torch.nn.LSTM(width, width, batch_first=True)
        weights = {"weight_ih_l0": w.T, "weight_hh_l0": u.T, "bias_ih_l0": b, "bias_hh_l0": torch.zeros_like(b)}
        x, (h, c) = torch.func.functional_call(module, weights, (x, states.get(i)))
        states[i] = (h.detach(), c.detach())
    w = embedding.T if tied else p.get("matrix", width, vocabulary)
    return (x @ w + p.get("bias", vocabulary)).flatten(0, 1)


# In networks this deep rounding grows until some number falls on the other side of a rectifier, with
# a per cent of the gradient; in PyTorch's own single precision too. Hence a smaller rate or one step
# only, and a wider tolerance for the gradients; and the same models again with shifts that keep most
# numbers away from the rectifiers' kinks, where a twentieth of that tolerance holds.
DEEP = 2**-10
AWAY = 3.0

CASES = {
    "softmax": dict(input=[7], classes=4, n=5, model=lambda p, x, t, s: mlp(p, x, t, [], 4, False)),
    "mlp(9,8,smoothing=0.1)": dict(
        input=[7], classes=4, n=5, smoothing=0.1, model=lambda p, x, t, s: mlp(p, x, t, [9, 8], 4, False)
    ),
    "mlp(6)": dict(input=[7], outputs=3, n=5, model=lambda p, x, t, s: mlp(p, x, t, [6], 3, False)),
    "f1": dict(input=[6, 5, 2], classes=10, n=8, model=lambda p, x, t, s: mlp(p, x, t, [512] * 5, 10, True)),
    "lenet": dict(input=[18, 20, 3], classes=10, n=4, model=lambda p, x, t, s: lenet(p, x, t, 10)),
    "c1(dropout=0)": dict(input=[10, 9, 3], classes=10, n=8, model=lambda p, x, t, s: c1(p, x, t, 10)),
    "resnet20": dict(
        input=[12, 8, 3],
        classes=10,
        n=6,
        model=lambda p, x, t, s: resnet(p, x, t, 10, [(3, 16), (3, 32), (3, 64)]),
    ),
    "c2(dropout=0)": dict(
        input=[32, 32, 3], classes=10, n=9, steps=1, tolerance=2e-2, model=lambda p, x, t, s: vgg(p, x, t, 10, 512)
    ),
    "vgg16": dict(
        input=[33, 32, 3], classes=10, n=8, steps=1, tolerance=2e-2, model=lambda p, x, t, s: vgg(p, x, t, 10, None)
    ),
    "alexnet": dict(input=[32, 30, 3], classes=10, n=5, model=lambda p, x, t, s: alexnet(p, x, 10)),
    "mobilenetv2(width=0.5)": dict(
        input=[12, 9, 3],
        classes=10,
        n=8,
        steps=1,
        tolerance=2e-2,
        model=lambda p, x, t, s: mobilenet(p, x, t, 10, [16, 8, 16, 16, 32, 48, 80, 160], False),
    ),
    "mobilenetv2(width=0.25,dropout=0,imagenet)": dict(
        input=[40, 38, 3],
        classes=10,
        n=6,
        steps=1,
        tolerance=2e-2,
        model=lambda p, x, t, s: mobilenet(p, x, t, 10, [8, 8, 8, 8, 16, 24, 40, 80], True),
    ),
    "drn-d-22": dict(
        input=[24, 20, 3], classes=10, n=4, rate=DEEP, tolerance=2e-2, model=lambda p, x, t, s: drn(p, x, t, 10, False)
    ),
    "drn-d-22(smoothing=0.1)": dict(
        input=[21, 16, 3],
        masks=5,
        n=4,
        steps=1,
        tolerance=2e-2,
        smoothing=0.1,
        model=lambda p, x, t, s: drn(p, x, t, 5, True),
    ),
    "row-lstm(width=9)": dict(input=[6, 5, 2], classes=10, n=5, model=lambda p, x, t, s: row_lstm(p, x, 10, 9)),
    "lstm(width=11)": dict(tokens=[6, 13], n=4, model=lambda p, x, t, s: lstm(p, x, t, 2, 11, 13, False, s)),
    "lstm(layers=1,width=10,tied,smoothing=0.2)": dict(
        tokens=[5, 17], n=3, smoothing=0.2, model=lambda p, x, t, s: lstm(p, x, t, 1, 10, 17, True, s)
    ),
}
CASES |= {
    f"{name} away from kinks": case | {"shift": AWAY, "tolerance": 1e-3}
    for name, case in CASES.items()
    if "tolerance" in case
}


def summary(tensor, seed):
    flat = tensor.detach().reshape(-1)
    return [flat.norm().item(), (flat @ value(3000 + seed, flat.numel())).item()]


def run(case):
    p, states, steps = Parameters(case.get("shift", 0.0)), {}, []
    n, smoothing = case["n"], case.get("smoothing", 0.0)
    for step in range(case.get("steps", 2)):
        if "tokens" in case:
            sequence, vocabulary = case["tokens"]
            x = torch.tensor((hashed(1000 + step, n * sequence) % np.uint64(vocabulary)).astype(np.int64))
            x, classes, labels = x.reshape(n, sequence), vocabulary, n * sequence
        else:
            x, classes, labels = value(1000 + step, n, *case["input"]), case.get("classes"), n
            x = x.permute(0, 3, 1, 2) if x.ndim == 4 else x
        if "masks" in case:
            # A class more than there are stands for pixels without a label.
            classes, pixels = case["masks"], n * math.prod(case["input"][:2])
            target = torch.tensor((hashed(2000 + step, pixels) % np.uint64(classes + 1)).astype(np.int64))
            target[target == classes] = 255
            labels = int((target != 255).sum())
        elif classes:
            target = torch.tensor((hashed(2000 + step, labels) % np.uint64(classes)).astype(np.int64))
        else:
            target = value(2000 + step, n, case["outputs"])

        def loss_of(y, smoothing):
            if classes:
                return F.cross_entropy(y, target, reduction="sum", label_smoothing=smoothing, ignore_index=255)
            return F.mse_loss(y, target, reduction="sum")

        p.at = 0
        loss = loss_of(case["model"](p, x, True, states), smoothing)
        gradients = torch.autograd.grad(loss / labels, p.leaves)
        result = {"loss": loss.item(), "gradients": [summary(g, k) for k, g in enumerate(gradients)]}
        with torch.no_grad():
            for leaf, gradient in zip(p.leaves, gradients):
                leaf -= case.get("rate", 0.0625) * gradient
            p.at = 0
            y = case["model"](p, x, False, {})
            result["evaluation"] = loss_of(y, 0.0).item()
            result["errors"] = int(((y.argmax(1) != target) & (target != 255)).sum()) if classes else 0
        steps.append(result)
    state = {name: summary(buffer, 0) for name, buffer in p.buffers.items()}
    for i, (h, c) in states.items():
        state[f"lstm{i}.hidden"], state[f"lstm{i}.cell"] = summary(h, 0), summary(c, 0)
    shape = {key: case[key] for key in ("input", "tokens", "classes", "masks", "outputs", "n", "rate", "tolerance", "shift") if key in case}
    return {**shape, "steps": steps, "state": state}


result = {"pytorch": torch.__version__, "cases": {name: run(case) for name, case in CASES.items()}}
cases = ",\n".join(f"{json.dumps(name)}: {json.dumps(case)}" for name, case in result["cases"].items())
print(f'{{"pytorch": "{result["pytorch"]}", "cases": {{\n{cases}\n}}}}')
