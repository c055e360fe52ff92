"""The workloads in PyTorch: forward, loss, backward, SGD with momentum.

A variant is `default`, PyTorch as most programs use it, or some of
* `channels_last`: the memory format that oneDNN's convolutions prefer;
* `fused`: the optimizer that updates all parameters in one kernel;
* `compile`: forward, loss and backward, and the optimizer, through torch.compile (inductor).
"""

import shutil
import time

import numpy
import torch
from safetensors.numpy import load_file
from torch import nn
from torch.nn import functional as F

from peer import LEARNING_RATE, MOMENTUM, THREADS, Trained, serve

# Channels of ResNet-20's stages, of three blocks each.
STAGES = {"stage1": (16, 16), "stage2": (16, 32), "stage3": (32, 64)}


class Perceptron(nn.Module):
    """W1: 784-512-512-10."""

    def __init__(self):
        super().__init__()
        self.linear1, self.linear2 = nn.Linear(784, 512), nn.Linear(512, 512)
        self.output = nn.Linear(512, 10)

    def forward(self, x):
        return self.output(F.relu(self.linear2(F.relu(self.linear1(x.flatten(1))))))


class LeNet(nn.Module):
    """W2: two convolutions of 5 x 5 with pooling, 512-128-10."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 16, 5), nn.Conv2d(16, 32, 5)
        self.linear1, self.linear2 = nn.Linear(512, 128), nn.Linear(128, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.linear2(F.relu(self.linear1(x.flatten(1))))


class ConvNorm(nn.Module):
    """A convolution without bias, then batch norm."""

    def __init__(self, inputs, outputs, size, stride):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x):
        return self.norm(self.conv(x))


class Block(nn.Module):
    """A residual block; where its shape changes, the shortcut is a convolution of 1 x 1."""

    def __init__(self, inputs, outputs):
        super().__init__()
        stride = 1 if inputs == outputs else 2
        self.conv1 = ConvNorm(inputs, outputs, 3, stride)
        self.conv2 = ConvNorm(outputs, outputs, 3, 1)
        self.shortcut = nn.Identity() if stride == 1 else ConvNorm(inputs, outputs, 1, stride)

    def forward(self, x):
        return F.relu(self.conv2(F.relu(self.conv1(x))) + self.shortcut(x))


class ResNet20(nn.Module):
    """W3: ResNet-20 on 32 x 32 x 3, shortcuts of option B."""

    def __init__(self):
        super().__init__()
        self.stem = ConvNorm(3, 16, 3, 1)
        for name, (inputs, outputs) in STAGES.items():
            blocks = {"block1": Block(inputs, outputs)}
            blocks |= {f"block{i}": Block(outputs, outputs) for i in (2, 3)}
            setattr(self, name, nn.ModuleDict(blocks))
        self.output = nn.Linear(64, 10)

    def forward(self, x):
        x = F.relu(self.stem(x))
        for name in STAGES:
            for block in getattr(self, name).values():
                x = block(x)
        return self.output(x.mean((2, 3)))


class LanguageModel(nn.Module):
    """W4: LSTM of width 200, vocabulary of 2000."""

    def __init__(self):
        super().__init__()
        self.embedding, self.lstm1 = nn.Embedding(2000, 200), nn.LSTM(200, 200, batch_first=True)
        self.output = nn.Linear(200, 2000)
        # PyTorch adds two biases, of which only the sum matters: one is trained, as elsewhere.
        nn.init.zeros_(self.lstm1.bias_hh_l0).requires_grad_(False)

    def forward(self, x):
        return self.output(self.lstm1(self.embedding(x))[0]).flatten(0, 1)


MODELS = {"W1": Perceptron, "W2": LeNet, "W3": ResNet20, "W4": LanguageModel}

# Our names of parameters, where PyTorch's differ by more than the convolution inside a ConvNorm.
NAMES = {
    "lstm1.input": "lstm1.weight_ih_l0",
    "lstm1.recurrent": "lstm1.weight_hh_l0",
    "lstm1.bias": "lstm1.bias_ih_l0",
}


def layout(workload, name, values):
    """A parameter as PyTorch has it: matrices are `[outputs, inputs]`, images channels first."""
    if workload == "W2" and name == "linear1.weight":
        values = values.reshape(4, 4, 32, 128).transpose(2, 0, 1, 3).reshape(512, 128)
    if values.ndim == 2 and not name.startswith("embedding"):
        values = values.T
    return torch.from_numpy(numpy.ascontiguousarray(values))


def load(model, workload, state):
    """Puts our weights into a model."""
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, values in state.items():
            if ".running_" in name:
                continue
            name_there = NAMES.get(name, name)
            if name_there not in parameters:
                name_there = name_there.removesuffix("weight") + "conv.weight"
            parameter = parameters.pop(name_there)
            there = layout(workload, name, values)
            assert there.shape == parameter.shape, (name, there.shape, parameter.shape)
            parameter.copy_(there)
    left = [name for name, parameter in parameters.items() if parameter.requires_grad]
    assert not left, f"no start for {left}"


class TorchTrained(Trained):
    """A model in training."""

    def __init__(self, workload, start, variant):
        torch.set_num_threads(THREADS)
        options = set(variant.split(",")) - {"default"}
        state = load_file(start)
        x, y = state.pop("inputs"), torch.from_numpy(state.pop("labels").astype("int64"))
        x = torch.from_numpy(x.astype("int64") if workload == "W4" else x.transpose(0, 3, 1, 2))
        model = MODELS[workload]()
        load(model, workload, state)
        if "channels_last" in options:
            model = model.to(memory_format=torch.channels_last)
            x = x.contiguous(memory_format=torch.channels_last)
        else:
            x = x.contiguous()

        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.first = [p.detach().clone() for p in self.parameters]
        fused = {"fused": True} if "fused" in options else {}
        self.optimizer = torch.optim.SGD(self.parameters, LEARNING_RATE, MOMENTUM, **fused)

        def loss():
            return F.cross_entropy(model(x), y)

        self.loss, self.update = loss, self.optimizer.step
        if "compile" in options:
            torch._dynamo.reset()
            self.loss = torch.compile(loss, dynamic=False)
            self.update = torch.compile(self.optimizer.step, dynamic=False)
        self.restore()

    def restore(self):
        with torch.no_grad():
            for parameter, first in zip(self.parameters, self.first, strict=True):
                parameter.copy_(first)
                velocity = self.optimizer.state[parameter].get("momentum_buffer")
                if velocity is None:
                    velocity = torch.zeros_like(parameter)
                    self.optimizer.state[parameter]["momentum_buffer"] = velocity
                velocity.zero_()

    def step(self):
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss()
        loss.backward()
        self.update()
        return loss.detach()


def prepare(workload, start, variant):
    """What `serve` asks for."""
    if "compile" in variant and not shutil.which("c++"):
        raise RuntimeError("torch.compile needs a C++ compiler and there is none")
    return TorchTrained(workload, start, variant)


def matrix_product_peak(side=2048, products=8):
    """Operations a second of a large product of f32 matrices, the fastest of a few."""
    torch.set_num_threads(THREADS)
    a, b = torch.rand(side, side), torch.rand(side, side)
    times = []
    for _ in range(products):
        start = time.perf_counter()
        torch.mm(a, b)
        times.append(time.perf_counter() - start)
    return {"flops": 2 * side**3 / min(times)}


if __name__ == "__main__":
    serve(prepare, {"peak": matrix_product_peak})
