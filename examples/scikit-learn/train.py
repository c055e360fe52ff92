"""A plain scikit-learn script: a linear classifier of its handwritten digits, in mini-batches.

    batchscope study --target val-accuracy=0.9 --batch-sizes 4..256 --train-examples 1497 \
        -- python examples/scikit-learn/train.py {batch_size} {learning_rate} {seed} {max_steps}
"""

import sys

import numpy as np
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

batch_size, seed, steps = int(sys.argv[1]), int(sys.argv[3]), int(sys.argv[4])
learning_rate = float(sys.argv[2])
x, y = load_digits(return_X_y=True)
x = x / 16
train_x, train_y, val_x, val_y = x[300:], y[300:], x[:300], y[:300]
random = np.random.default_rng(seed)
model = MLPClassifier(
    (32,), solver="sgd", learning_rate_init=learning_rate, momentum=0.9, batch_size=batch_size, random_state=seed
)
report = 1
for step in range(1, steps + 1):
    batch = random.choice(len(train_x), batch_size, replace=False)
    model.partial_fit(train_x[batch], train_y[batch], classes=range(10))
    if step == report or step == steps:
        print(f"iter {step}: val_acc: {model.score(val_x, val_y):.4f}", flush=True)
        report = max(step + 1, int(step * 1.15))
