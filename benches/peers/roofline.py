"""What a training step has to compute and to move, from the shapes of its parameters.

Operations are those of matrix products and convolutions, two for each multiplication and addition:
the forward pass, the gradient of the weights, and the gradient of the layer's input where something
below is trained. Element-wise work is not counted, nor is what a faster algorithm would save.

Bytes are those that cannot stay in the nearest caches whatever the batch size: the input once, and
for every parameter its value in the forward pass, its value in the backward pass (but for a layer
without input gradient), its gradient written and, since it is clipped or summed over micro-batches
in between, read again, value and velocity read and written by the update. Activations are not
counted; at the small batch sizes, where bytes decide, they fit the caches.
"""

import math

from safetensors import safe_open

# The layer below which nothing is trained; W4's is an embedding, which takes gradients.
FIRST = {"W1": "linear1", "W2": "conv1", "W3": "stem", "W4": None}

# Places of an example that a weight is applied at; one if not named here.
PLACES = {
    "W2": {"conv1": 24 * 24, "conv2": 8 * 8},
    "W3": {"stem": 32 * 32, "stage1": 32 * 32, "stage2": 16 * 16, "stage3": 8 * 8},
    "W4": {"embedding": 0, "lstm1": 35, "output": 35},
}


def shapes(start):
    """The shape of every parameter, and of `inputs`, in a start file."""
    with safe_open(start, "numpy") as file:
        names = [name for name in file.keys() if ".running_" not in name and name != "labels"]
        return {name: file.get_slice(name).get_shape() for name in names}


def step_cost(workload, start):
    """Operations and bytes of a step of the workload on the batch of the start file."""
    parameters = {name: (math.prod(shape), len(shape)) for name, shape in shapes(start).items()}
    with safe_open(start, "numpy") as file:
        batch_size = file.get_slice("inputs").get_shape()[0]
    operations, numbers = 0, parameters.pop("inputs")[0]
    for name, (size, rank) in parameters.items():
        layer = name.split(".")[0]
        first = layer == FIRST[workload]
        if rank > 1:
            places = PLACES.get(workload, {}).get(layer, 1)
            operations += 2 * size * places * batch_size * (2 if first else 3)
        numbers += size * (7 if first else 8)
    return operations, 4 * numbers
