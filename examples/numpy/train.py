"""A plain NumPy script: linear regression by stochastic gradient descent on noisy data, reported as JSON lines.

    batchscope study --target val-loss=0.3 --batch-sizes 4..512 --max-steps 5000 --reads-environment \
        -- python examples/numpy/train.py
"""

import json
import os

import numpy as np

setting = lambda name, default: os.environ.get(f"BATCHSCOPE_{name}", default)
batch_size = int(setting("BATCH_SIZE", 32))
learning_rate = float(setting("LEARNING_RATE", 0.05))
steps = int(setting("MAX_STEPS", 1000))
random = np.random.default_rng(int(setting("SEED", 0)))

features, noise = 20, 0.5
scales = 1 / np.sqrt(np.arange(1, features + 1))
truth = np.ones(features)
weights = np.zeros(features)
with open(setting("EVENTS", os.devnull), "a") as events:
    report = 1
    for step in range(1, steps + 1):
        x = random.normal(size=(batch_size, features)) * scales
        y = x @ truth + noise * random.normal(size=batch_size)
        weights -= learning_rate * x.T @ (x @ weights - y) / batch_size
        if step == report or step == steps:
            # Half the mean square over the distribution, noise included.
            loss = 0.5 * (noise**2 + np.sum((scales * (weights - truth)) ** 2))
            json.dump({"step": step, "examples": step * batch_size, "val_loss": float(loss)}, events)
            events.write("\n")
            events.flush()
            report = max(step + 1, int(step * 1.1))
