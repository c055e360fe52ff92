"""Golden values for tests/golden.rs: the censored fit by another implementation.

The three-parameter likelihood is maximized by scipy's Nelder-Mead and BFGS from several starts, the
profile interval of ln B_c is found by root search on a two-parameter maximization, and the lack of
fit F test is computed from residual sums of squares. Where its p-value is below 0.15 the interval is
made from the mean square of the lack of fit. Nothing of the Rust code's algorithm (profile
over b, Olsen's parameters, Newton) is used. Run: python fit.py > fit.json
"""

import json
import sys

import numpy as np
import scipy
from scipy.optimize import brentq, minimize
from scipy.stats import f as fisher
from scipy.stats import norm

LEVEL = 0.95


def study(seed, s_min, critical, sigma, batch_sizes, seeds, cap, shape=None):
    rng = np.random.default_rng(seed)
    rows = []
    for b in batch_sizes:
        curve = s_min * (1 + critical / b) if shape is None else shape(b)
        limit = cap * s_min * (1 + critical / b)
        for _ in range(seeds):
            steps = curve * np.exp(sigma * rng.standard_normal())
            rows.append((b, float(min(steps, limit)), bool(steps > limit)))
    return rows


def negative_log_likelihood(theta, rows):
    a, b, ln_sigma = theta
    sigma = np.exp(ln_sigma)
    total = 0.0
    for batch, steps, censored in rows:
        mean = a + np.logaddexp(-np.log(batch), -b)
        y = np.log(steps)
        if censored:
            total -= norm.logcdf((mean - y) / sigma)
        else:
            total += ln_sigma + 0.5 * ((y - mean) / sigma) ** 2
    return total


def best(function, starts):
    found = None
    for start in starts:
        for _ in range(3):
            result = minimize(
                function, start, method="Nelder-Mead", options={"xatol": 1e-11, "fatol": 1e-13, "maxiter": 20000, "maxfev": 20000}
            )
            start = result.x
        if found is None or result.fun < found.fun:
            found = result
    return found


def golden(name, rows):
    starts = [(np.log(s), np.log(c), np.log(0.1)) for s in (1e4, 1e5) for c in (50.0, 500.0)]
    top = best(lambda t: negative_log_likelihood(t, rows), starts)
    a, b, ln_sigma = top.x
    n = sum(1 for r in rows if not r[2])
    squares = n * np.exp(2 * ln_sigma)
    variance, dof = squares / (n - 2), n - 2
    lack = {}
    if not any(r[2] for r in rows):
        groups = {}
        for batch, steps, _ in rows:
            groups.setdefault(batch, []).append(np.log(steps))
        k = len(groups)
        within = sum(np.sum((np.array(g) - np.mean(g)) ** 2) for g in groups.values())
        mean_square = (squares - within) / (k - 2)
        statistic = mean_square / (within / (n - k))
        p = fisher.sf(statistic, k - 2, n - k)
        lack = {"lack_of_fit_f": statistic, "lack_of_fit_p": p}
        if p < 0.15:
            variance, dof = mean_square, k - 2
    threshold = n * np.log1p(variance * fisher.ppf(LEVEL, 1, dof) / squares)

    def gap(at):
        profile = best(lambda t: negative_log_likelihood((t[0], at, t[1]), rows), [(a, ln_sigma)])
        return 2 * (profile.fun - top.fun) - threshold

    # S_min = exp(a - b): the same profile along another line
    def gap_s_min(at):
        profile = best(lambda t: negative_log_likelihood((at + t[0], t[0], t[1]), rows), [(b, ln_sigma)])
        return 2 * (profile.fun - top.fun) - threshold

    out = {
        "name": name,
        "rows": rows,
        "e_min": np.exp(a),
        "critical": np.exp(b),
        "sigma_ml": np.exp(ln_sigma),
        "critical_low": np.exp(brentq(gap, b - 3, b, xtol=1e-9)),
        "critical_high": np.exp(brentq(gap, b, b + 3, xtol=1e-9)),
        "s_min_low": np.exp(brentq(gap_s_min, a - b - 1, a - b, xtol=1e-9)),
        "s_min_high": np.exp(brentq(gap_s_min, a - b, a - b + 1, xtol=1e-9)),
    }
    out |= lack
    return {key: float(v) if isinstance(v, np.floating) else v for key, v in out.items()}


sizes = [8, 16, 32, 64, 128, 256, 512, 1024, 2048]
cases = [
    golden("scatter between batch sizes", study(1, 300, 200, 0.1, sizes, 3, np.inf)),
    golden("three seeds", study(4, 300, 200, 0.1, sizes, 3, np.inf)),
    golden("one in six censored", study(2, 300, 200, 0.12, sizes, 3, 1.12)),
    golden("five seeds, half censored", study(3, 300, 100, 0.15, sizes[:7], 5, 1.0)),
]
json.dump({"scipy": scipy.__version__, "numpy": np.__version__, "cases": cases}, sys.stdout, indent=1)
print()
