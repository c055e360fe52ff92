"""A plain PyTorch script: a perceptron on MNIST. It knows nothing of batchscope; it takes its settings from the
command line and prints what it measures.

    python train.py --data ../../../shared/data/mnist --bs 64 --lr 0.05

A study of it, without a change:

    batchscope study --target val-error=0.05 --batch-sizes 16..2048 --train-examples 54000 \
        -- python train.py --data ../../../shared/data/mnist --bs {batch_size} --lr {learning_rate} --seed {seed} --steps {max_steps}
"""

import argparse
import gzip
from pathlib import Path

import torch
from torch import nn


def read(path):
    """Images as rows of floats, or labels, of a gzip'd IDX file."""
    data = torch.frombuffer(bytearray(gzip.decompress(path.read_bytes())), dtype=torch.uint8)
    if data[3] == 1:
        return data[8:].long()
    return data[16:].float().view(-1, 28 * 28)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True, help="folder of MNIST's files")
    parser.add_argument("--bs", type=int, default=64, help="batch size")
    parser.add_argument("--micro", type=int, default=0, help="examples per forward pass; 0 is the batch size")
    parser.add_argument("--lr", type=float, default=0.05, help="learning rate")
    parser.add_argument("--momentum", type=float, default=0.9)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--width", type=int, default=128, help="units of the hidden layer")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    device = torch.device(args.device)

    images = read(args.data / "train-images-idx3-ubyte.gz")
    labels = read(args.data / "train-labels-idx1-ubyte.gz")
    # The last 6,000 examples are held out, to tell how well it does.
    x, y = images[:-6000].to(device), labels[:-6000].to(device)
    mean, std = x.mean(), x.std()
    x = (x - mean) / std
    val_x, val_y = (images[-6000:].to(device) - mean) / std, labels[-6000:].to(device)

    model = nn.Sequential(nn.Linear(28 * 28, args.width), nn.ReLU(), nn.Linear(args.width, 10)).to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=args.momentum)
    loss_of = nn.CrossEntropyLoss(reduction="sum")
    micro = args.micro or args.bs

    order, at, evaluate = torch.randperm(len(x)), 0, 1
    for step in range(1, args.steps + 1):
        if at + args.bs > len(order):
            order, at = torch.randperm(len(x)), 0
        batch = order[at : at + args.bs].to(device)
        at += args.bs
        optimizer.zero_grad()
        for part in batch.split(micro):
            (loss_of(model(x[part]), y[part]) / args.bs).backward()
        optimizer.step()
        if step == evaluate or step == args.steps:
            with torch.no_grad():
                scores = model(val_x)
                error = (scores.argmax(1) != val_y).float().mean().item()
                loss = loss_of(scores, val_y).item() / len(val_y)
            print(f"step={step} examples={step * args.bs} val_error={error:.4f} val_loss={loss:.4f}", flush=True)
            # Ever more rarely: every tenth more steps.
            evaluate = max(step + 1, int(step * 1.1))


if __name__ == "__main__":
    main()
