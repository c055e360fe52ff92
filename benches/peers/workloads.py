"""The benchmark workloads W1..W4 in PyTorch: one training step = forward, loss, backward, SGD momentum.

W1  MLP 784-512-512-10                          batch 32, 256, 4096
W2  conv5x5 16, pool, conv5x5 32, pool, 128, 10  batch 32, 256, 2048
W3  ResNet-20 on 32x32x3                        batch 64, 256
W4  LSTM, vocabulary 2000, 200/200, 35 tokens   batch 20, 128

`python workloads.py WORKLOAD BATCH SECONDS [channels_last]` prints one JSON line: the median seconds
of a step. Without arguments it answers such lines from standard input, one after another.
"""

import json
import statistics
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F

BATCHES = {"W1": [32, 256, 4096], "W2": [32, 256, 2048], "W3": [64, 256], "W4": [20, 128]}


class LeNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 16, 5), nn.Conv2d(16, 32, 5)
        self.fc1, self.fc2 = nn.Linear(512, 128), nn.Linear(128, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.fc2(F.relu(self.fc1(x.flatten(1))))


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)
        self.stride, self.grow = stride, outputs - inputs

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.grow:  # the parameter-free shortcut of He et al. 2016 for CIFAR
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.grow))
        return F.relu(x + y)


class ResNet20(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.bn = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        widths = [(16, 16, 1)] * 3 + [(16, 32, 2)] + [(32, 32, 1)] * 2 + [(32, 64, 2)] + [(64, 64, 1)] * 2
        self.blocks = nn.Sequential(*(Block(*w) for w in widths))
        self.head = nn.Linear(64, 10)

    def forward(self, x):
        x = self.blocks(F.relu(self.bn(self.stem(x))))
        return self.head(x.mean((2, 3)))


class LanguageModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.lstm = nn.Embedding(2000, 200), nn.LSTM(200, 200, batch_first=True)
        self.head = nn.Linear(200, 2000)

    def forward(self, x):
        return self.head(self.lstm(self.embed(x))[0]).flatten(0, 1)


def workload(name, batch):
    """The model, an input and its labels."""
    torch.manual_seed(0)
    if name == "W1":
        model = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))
        return model, torch.randn(batch, 784), torch.randint(10, (batch,))
    if name == "W2":
        return LeNet(), torch.randn(batch, 1, 28, 28), torch.randint(10, (batch,))
    if name == "W3":
        return ResNet20(), torch.randn(batch, 3, 32, 32), torch.randint(10, (batch,))
    if name == "W4":
        return LanguageModel(), torch.randint(2000, (batch, 35)), torch.randint(2000, (batch * 35,))
    raise SystemExit(f"unknown workload {name}")


def step_seconds(name, batch, seconds, layout="default"):
    """Median seconds of a training step, over about `seconds` after a warm-up."""
    torch.set_num_threads(2)
    model, x, y = workload(name, batch)
    if layout == "channels_last":
        model, x = model.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    def step():
        optimiser.zero_grad(set_to_none=True)
        F.cross_entropy(model(x), y).backward()
        optimiser.step()

    for _ in range(3):
        step()
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 5:
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def answer(name, batch, seconds, *layout):
    seconds = step_seconds(name, int(batch), float(seconds), *layout)
    print(json.dumps({"workload": name, "batch_size": int(batch), "seconds": seconds}), flush=True)


if __name__ == "__main__":
    if sys.argv[1:]:
        answer(*sys.argv[1:])
    else:
        for line in sys.stdin:
            answer(*line.split())
