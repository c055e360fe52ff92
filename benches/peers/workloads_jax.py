"""The workloads in JAX: one jitted function takes a whole step, its weights and velocities donated.

Parameters keep our names and shapes, images are channels last, as XLA's CPU backend prefers.
"""

import functools

import jax
from jax import lax, nn
from jax import numpy as jnp
from safetensors.numpy import load_file

from peer import LEARNING_RATE, MOMENTUM, Trained, serve


def linear(p, name, x):
    """`x W + b`."""
    return x @ p[f"{name}.weight"] + p[f"{name}.bias"]


def conv(p, name, x, stride, padding):
    """A convolution, with its bias if it has one."""
    window, pads = (stride, stride), [(padding, padding)] * 2
    y = lax.conv_general_dilated(
        x, p[f"{name}.weight"], window, pads, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    bias = p.get(f"{name}.bias")
    return y if bias is None else y + bias


def pool(x):
    """The maximum of every 2 x 2 pixels; cheaper than `reduce_window` and its gradient."""
    n, h, w, c = x.shape
    return x.reshape(n, h // 2, 2, w // 2, 2, c).max((2, 4))


def perceptron(p, x):
    """W1: 784-512-512-10."""
    x = nn.relu(linear(p, "linear1", x.reshape(len(x), -1)))
    return linear(p, "output", nn.relu(linear(p, "linear2", x)))


def lenet(p, x):
    """W2: two convolutions of 5 x 5 with pooling, 512-128-10."""
    for name in ("conv1", "conv2"):
        x = pool(nn.relu(conv(p, name, x, 1, 0)))
    return linear(p, "linear2", nn.relu(linear(p, "linear1", x.reshape(len(x), -1))))


def conv_norm(p, name, x, stride=1):
    """A convolution, then batch norm over the whole batch."""
    x = conv(p, name, x, stride, p[f"{name}.weight"].shape[0] // 2)
    mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    scale = p[f"{name}.norm.weight"] * lax.rsqrt(variance + 1e-5)
    return (x - mean) * scale + p[f"{name}.norm.bias"]


def resnet20(p, x):
    """W3: ResNet-20 on 32 x 32 x 3, shortcuts of option B."""
    x = nn.relu(conv_norm(p, "stem", x))
    for stage in (1, 2, 3):
        for block in (1, 2, 3):
            name = f"stage{stage}.block{block}"
            stride = 2 if stage > 1 and block == 1 else 1
            y = nn.relu(conv_norm(p, f"{name}.conv1", x, stride))
            if stride == 2:
                x = conv_norm(p, f"{name}.shortcut", x, stride)
            x = nn.relu(conv_norm(p, f"{name}.conv2", y) + x)
    return linear(p, "output", x.mean((1, 2)))


def language_model(p, tokens):
    """W4: LSTM of width 200, vocabulary of 2000; one product for all inputs, then a scan."""
    x = p["embedding.weight"][tokens.T]
    gates = x @ p["lstm1.input"] + p["lstm1.bias"]
    zero = jnp.zeros((len(tokens), 200))

    def cell(carry, gates):
        h, c = carry
        i, f, g, o = jnp.split(gates + h @ p["lstm1.recurrent"], 4, axis=1)
        c = nn.sigmoid(f) * c + nn.sigmoid(i) * jnp.tanh(g)
        h = nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    _, hidden = lax.scan(cell, (zero, zero), gates)
    return linear(p, "output", hidden.swapaxes(0, 1).reshape(-1, 200))


MODELS = {"W1": perceptron, "W2": lenet, "W3": resnet20, "W4": language_model}


@functools.partial(jax.jit, static_argnums=0, donate_argnums=(1, 2))
def take(model, parameters, velocities, x, y):
    """One step: the weights and velocities after it, and the loss before it."""

    def mean_loss(parameters):
        scores = nn.log_softmax(model(parameters, x))
        return -jnp.take_along_axis(scores, y[:, None], axis=1).mean()

    loss, gradients = jax.value_and_grad(mean_loss)(parameters)
    velocities = jax.tree.map(lambda v, g: MOMENTUM * v + g, velocities, gradients)
    parameters = jax.tree.map(lambda w, v: w - LEARNING_RATE * v, parameters, velocities)
    return parameters, velocities, loss


class JaxTrained(Trained):
    """A model in training."""

    together = 10

    def __init__(self, workload, start):
        state = load_file(start)
        self.x, self.y = jnp.array(state.pop("inputs")), jnp.array(state.pop("labels"))
        self.model = MODELS[workload]
        self.first = {
            name: values.transpose(2, 3, 1, 0) if values.ndim == 4 else values
            for name, values in state.items()
            if ".running_" not in name
        }
        self.restore()

    def restore(self):
        self.parameters = {name: jnp.array(values) for name, values in self.first.items()}
        self.velocities = jax.tree.map(jnp.zeros_like, self.parameters)
        self.wait()

    def step(self):
        self.parameters, self.velocities, loss = take(
            self.model, self.parameters, self.velocities, self.x, self.y
        )
        return loss

    def wait(self):
        jax.block_until_ready((self.parameters, self.velocities))


if __name__ == "__main__":
    serve(lambda workload, start, _variant: JaxTrained(workload, start))
