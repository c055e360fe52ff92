"""Golden values for tests/lbfgsb.rs: SciPy's L-BFGS-B on bound-constrained problems.

Each problem is minimized three times: to convergence (ftol 0, gtol 1e-10), and stopped after 10 iterations
at SciPy's default settings, as Keskar et al. 2016 do; and once at the default settings throughout.
Run: python lbfgsb.py > lbfgsb.json
"""

import json
import sys

import numpy as np
import scipy
from scipy.optimize import minimize

INF = float("inf")


def rosenbrock(x):
    valley, slope = x[1:] - x[:-1] ** 2, 1 - x[:-1]
    g = np.zeros_like(x)
    g[:-1] += -400 * x[:-1] * valley - 2 * slope
    g[1:] += 200 * valley
    return np.sum(100 * valley**2 + slope**2), g


def beale(x):
    a, b = x
    f, g = 0.0, np.zeros(2)
    for k, c in enumerate((1.5, 2.25, 2.625), start=1):
        r = c - a * (1 - b**k)
        f += r * r
        g += 2 * r * np.array([-(1 - b**k), a * k * b ** (k - 1)])
    return f, g


def wood(x):
    a, b, c, d = x
    f = (
        100 * (b - a**2) ** 2
        + (1 - a) ** 2
        + 90 * (d - c**2) ** 2
        + (1 - c) ** 2
        + 10.1 * ((b - 1) ** 2 + (d - 1) ** 2)
        + 19.8 * (b - 1) * (d - 1)
    )
    g = np.array(
        [
            -400 * a * (b - a**2) - 2 * (1 - a),
            200 * (b - a**2) + 20.2 * (b - 1) + 19.8 * (d - 1),
            -360 * c * (d - c**2) - 2 * (1 - c),
            180 * (d - c**2) + 20.2 * (d - 1) + 19.8 * (b - 1),
        ]
    )
    return f, g


def powell(x):
    f, g = 0.0, np.zeros_like(x)
    for i in range(0, len(x), 4):
        a, b, c, d = x[i : i + 4]
        f += (a + 10 * b) ** 2 + 5 * (c - d) ** 2 + (b - 2 * c) ** 4 + 10 * (a - d) ** 4
        g[i : i + 4] = [
            2 * (a + 10 * b) + 40 * (a - d) ** 3,
            20 * (a + 10 * b) + 4 * (b - 2 * c) ** 3,
            10 * (c - d) - 8 * (b - 2 * c) ** 3,
            -10 * (c - d) - 40 * (a - d) ** 3,
        ]
    return f, g


def quadratic(x):
    """1/2 x'Hx + b'x with H = D + vv', all entries from closed forms."""
    i = np.arange(1, len(x) + 1)
    v, b = np.sin(i), 3 * np.cos(2 * i)
    hx = i**1.5 / 4 * x + v * (v @ x)
    return 0.5 * x @ hx + b @ x, hx + b


def saddle(x):
    """A quadratic with curvatures of both signs; its minimum lies in corners of the box."""
    i = np.arange(1, len(x) + 1)
    v, b = np.cos(i), np.sin(3 * i) / 10
    hx = np.sin(1.7 * i) * x - v * (v @ x) / 2
    return 0.5 * x @ hx + b @ x, hx + b


def hs4(x):
    return (x[0] + 1) ** 3 / 3 + x[1], np.array([(x[0] + 1) ** 2, 1.0])


def hs5(x):
    a, b = x
    f = np.sin(a + b) + (a - b) ** 2 - 1.5 * a + 2.5 * b + 1
    c = np.cos(a + b)
    return f, np.array([c + 2 * (a - b) - 1.5, c - 2 * (a - b) + 2.5])


def hs45(x):
    f = 2 - np.prod(x) / 120
    return f, np.array([-np.prod(np.delete(x, i)) / 120 for i in range(5)])


def hs110(x):
    p, q, product = np.log(x - 2), np.log(10 - x), np.prod(x) ** 0.2
    return np.sum(p**2 + q**2) - product, 2 * p / (x - 2) - 2 * q / (10 - x) - 0.2 * product / x


def driver1(x):
    """The sample problem of the L-BFGS-B distribution (driver1, n = 25)."""
    t = x[1:] - x[:-1] ** 2
    f = 4 * (0.25 * (x[0] - 1) ** 2 + np.sum(t**2))
    g = np.zeros_like(x)
    g[0] = 2 * (x[0] - 1)
    g[1:] += 8 * t
    g[:-1] -= 16 * x[:-1] * t
    return f, g


def box(n, low, high):
    return [(low, high)] * n


PROBLEMS = [
    ("rosenbrock", rosenbrock, [-1.2, 1.0] * 5, box(10, -INF, INF)),
    ("rosenbrock", rosenbrock, [-1.2, 1.0], box(2, -2, 0.8)),
    ("rosenbrock", rosenbrock, [-1.2, 1.0] * 10, [(-5, 0.7 if i % 3 == 0 else 5) for i in range(20)]),
    ("rosenbrock", rosenbrock, [-1.2, 1.0] * 2, [(1.5, 1.5), (-INF, INF), (-INF, INF), (0, INF)]),
    ("hs1", rosenbrock, [-2.0, 1.0], [(-INF, INF), (-1.5, INF)]),
    ("beale", beale, [1.0, 1.0], box(2, -4.5, 4.5)),
    ("beale", beale, [1.0, 1.0], [(-4.5, 2.0), (-4.5, 4.5)]),
    ("wood", wood, [-3.0, -1.0, -3.0, -1.0], box(4, -INF, INF)),
    ("wood", wood, [-3.0, -1.0, -3.0, -1.0], box(4, -10, 10)),
    ("wood", wood, [-3.0, -1.0, -3.0, -1.0], [(-10, 0.5), (-10, 10), (-INF, 10), (-10, INF)]),
    ("powell", powell, [3.0, -1.0, 0.0, 1.0] * 2, box(8, -4, 5)),
    ("powell", powell, [3.0, -1.0, 0.5, 1.0] * 2, [(0.1, 5), (-4, 5), (0.2, INF), (-INF, 4)] * 2),
    ("quadratic", quadratic, [0.0] * 50, box(50, -0.5, 0.5)),
    ("quadratic", quadratic, [1.0] * 200, box(200, 0, INF)),
    ("quadratic", quadratic, [0.3] * 30, box(30, -INF, INF)),
    ("saddle", saddle, [0.1] * 40, box(40, -1, 1)),
    ("hs4", hs4, [1.125, 0.125], [(1, INF), (0, INF)]),
    ("hs5", hs5, [0.0, 0.0], [(-1.5, 4), (-3, 3)]),
    ("hs45", hs45, [2.0] * 5, [(0, i) for i in range(1, 6)]),
    ("hs110", hs110, [9.0] * 10, box(10, 2.001, 9.999)),
    ("driver1", driver1, [3.0] * 25, [(1, 100) if i % 2 == 0 else (-100, 100) for i in range(25)]),
]


def projected_gradient(x, g, bounds):
    low, high = np.array(bounds).T
    return float(np.max(np.abs(np.clip(x - g, low, high) - x)))


def run(f, x0, bounds, **options):
    end = minimize(f, np.array(x0), jac=True, bounds=bounds, method="L-BFGS-B", options=options)
    return {
        "x": end.x.tolist(),
        "value": float(end.fun),
        "projected_gradient": projected_gradient(end.x, f(end.x)[1], bounds),
        "iterations": int(end.nit),
        "evaluations": int(end.nfev),
    }


cases = []
for name, f, x0, bounds in PROBLEMS:
    cases.append(
        {
            "name": name,
            "start": x0,
            "lower": [None if b[0] == -INF else b[0] for b in bounds],
            "upper": [None if b[1] == INF else b[1] for b in bounds],
            "converged": run(f, x0, bounds, ftol=0.0, gtol=1e-10),
            "defaults": run(f, x0, bounds),
            "truncated": run(f, x0, bounds, maxiter=10),
        }
    )
json.dump({"scipy": scipy.__version__, "cases": cases}, sys.stdout, indent=1)
print()
