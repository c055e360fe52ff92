"""Golden values for tests/golden.rs: the censored fit by another implementation.

The slope of the deviations is a root search inside root searches (a mean for each batch size, the
common deviation, the slope). The three-parameter likelihood of the curve is maximized by scipy's
Nelder-Mead and BFGS from several starts, the profile interval of ln B_c is found by root search on a
two-parameter maximization, and what estimated weights cost (Kenward & Roger 1997, Satterthwaite) by
the general matrix formulas. The lack of fit F test is computed from residual sums of squares; where
its p-value is below 0.35 the interval is made from the scatter between batch sizes. Nothing of the
Rust code's algorithm (profile over b, Olsen's parameters, Newton) is used. Run: python fit.py > fit.json
"""

import json
import sys

import numpy as np
import scipy
from scipy.optimize import brentq, minimize, minimize_scalar
from scipy.stats import f as fisher
from scipy.stats import norm

LEVEL = 0.95
PRIOR = 0.5


def study(seed, s_min, critical, sigma, batch_sizes, seeds, cap, slope=0.0):
    rng = np.random.default_rng(seed)
    middle = np.exp(np.mean(np.log(batch_sizes)))
    rows = []
    for b in batch_sizes:
        curve = s_min * (1 + critical / b)
        for _ in range(seeds):
            steps = curve * np.exp(sigma * (b / middle) ** slope * rng.standard_normal())
            rows.append((b, float(min(steps, cap * curve)), bool(steps > cap * curve)))
    return rows


def mills(z):
    return np.exp(norm.logpdf(z) - norm.logcdf(z))


def mean_of(y, caps, sigma):
    """Maximum likelihood mean at a known deviation, and the likelihood's slope in ln sigma and information there."""

    def score(mu):
        return np.sum(y - mu) / sigma**2 + np.sum(mills((mu - caps) / sigma)) / sigma

    mu = brentq(score, np.min(y) - 1, np.max(np.append(y, caps)) + 20 * sigma, xtol=1e-15) if len(caps) else np.mean(y)
    z = (mu - caps) / sigma
    m = mills(z)
    value = -len(y) * np.log(sigma) - 0.5 * np.sum((y - mu) ** 2) / sigma**2 + np.sum(norm.logcdf(z))
    by_sigma = -len(y) + np.sum((y - mu) ** 2) / sigma**2 - np.sum(m * z)
    information = len(y) / sigma**2 + np.sum(m * (m + z)) / sigma**2
    return mu, value, by_sigma, information


def one_way(groups, relative):
    """Means for all groups and one deviation of a trial whose relative deviation is 1."""

    def each(ln_sigma):
        return [mean_of(y, c, np.exp(ln_sigma) * relative(b)) for b, (y, c) in groups.items()]

    ln_sigma = brentq(lambda x: sum(g[2] for g in each(x)), -9, 2, xtol=1e-14)
    return np.exp(ln_sigma), each(ln_sigma)


def deviations(groups):
    f = {b: len(y) - 1 for b, (y, _) in groups.items()}
    center = sum(f[b] * np.log(b) for b in f) / sum(f.values())
    information = 2 * sum(f[b] * (np.log(b) - center) ** 2 for b in f)
    kept = information / (information + PRIOR**-2)

    def loss(slope):
        _, each = one_way(groups, lambda b: np.exp(slope * (np.log(b) - center)))
        return -sum(g[1] - 0.5 * np.log(g[3]) for g in each) + 0.5 * (slope / PRIOR) ** 2

    found = minimize_scalar(loss, bounds=(-1, 1), method="bounded", options={"xatol": 1e-10})
    return found.x, center, kept, kept**2 / information


def negative_log_likelihood(theta, rows, relative):
    a, b, ln_sigma = theta
    total = 0.0
    for batch, steps, censored in rows:
        mean = a + np.logaddexp(-np.log(batch), -b)
        y = np.log(steps)
        sigma = np.exp(ln_sigma) * relative(batch)
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


def correction(x, variances, derivatives, seconds, covariance, of):
    """Kenward & Roger's variance over the known one, and Satterthwaite's degrees of freedom."""
    inverse = np.diag(1 / variances)
    phi = np.linalg.inv(x.T @ inverse @ x)
    d = [np.diag(v) for v in derivatives]
    p = [-x.T @ inverse @ v @ inverse @ x for v in d]
    extra = np.zeros((2, 2))
    for i, j in np.ndindex(covariance.shape):
        q = x.T @ inverse @ d[i] @ inverse @ d[j] @ inverse @ x
        r = x.T @ inverse @ np.diag(seconds[i][j]) @ inverse @ x
        extra += covariance[i, j] * (q - p[i] @ phi @ p[j] - r / 4)
    known = of @ phi @ of
    more = 2 * of @ phi @ extra @ phi @ of / known
    slopes = np.array([-of @ phi @ p_i @ phi @ of for p_i in p])
    return 1 + min(max(more, 0), 1), known, slopes


def golden(name, rows):
    starts = [(np.log(s), np.log(c), np.log(0.1)) for s in (1e4, 1e5) for c in (50.0, 500.0)]
    groups = {}
    for batch, steps, censored in rows:
        groups.setdefault(batch, ([], []))[censored].append(np.log(steps))
    groups = {b: (np.array(y), np.array(c)) for b, (y, c) in groups.items()}
    slope, center, kept, slope_variance = deviations(groups)

    def fitted(relative):
        top = best(lambda t: negative_log_likelihood(t, rows, relative), starts)
        return top, n * np.exp(2 * top.x[2])

    def seeds(b):
        return np.exp(slope * (np.log(b) - center))

    n = sum(1 for r in rows if not r[2])
    k = len(groups)
    f = n - k - kept
    sigma_ml, each = one_way(groups, seeds)
    within = n * sigma_ml**2
    top, squares = fitted(seeds)
    batch = np.array(list(groups), dtype=float)
    counts = np.array([len(y) for y, _ in groups.values()])
    offsets = np.log(batch) - center
    # the likelihood ratio of a mean for each batch size to the curve
    means = sum(g[1] for g in each) + n * slope * np.average(offsets, weights=counts)
    mean_square = np.expm1(2 * (means + top.fun) / n) * within / (k - 2)
    statistic = mean_square / (within / f)
    p = fisher.sf(statistic, k - 2, f / (1 + kept**2))
    residual = squares / (n - 2 - kept)
    relative, scattered = seeds, p < 0.35 and mean_square > residual

    def design(sigma_squared, b):
        x = np.column_stack([np.ones(k), -batch / (batch + np.exp(b))])
        return x, sigma_squared * np.array([seeds(s) for s in batch]) ** 2 / counts

    if scattered:
        x, own = design(within / f, top.x[1])
        residuals = np.array([g[0] for g in each]) - top.x[0] - np.logaddexp(-np.log(batch), -top.x[1])

        def excess(t):
            w = np.diag(1 / (t + own))
            beta = np.linalg.solve(x.T @ w @ x, x.T @ w @ residuals)
            rest = residuals - x @ beta
            return rest @ w @ rest - (k - 2)

        t = brentq(excess, 0, 100, xtol=1e-16)
        of_trial = dict(zip(groups, np.sqrt(counts * (t + own))))
        scale = np.exp(np.mean(np.log(list(of_trial.values()))))
        relative = lambda b: of_trial[b] / scale
        top, squares = fitted(relative)
        sigma_ml, each = one_way(groups, relative)
        means = sum(g[1] for g in each) + np.dot(counts, np.log(list(of_trial.values())) - np.log(scale))
        variance = np.expm1(2 * (means + top.fun) / n) * n * sigma_ml**2 / (k - 2)
    else:
        variance = residual
    a, b, ln_sigma = top.x

    def threshold(of):
        of = np.array(of, dtype=float)
        if not scattered:
            x, own = design(residual, b)
            derivatives = [2 * offsets * own]
            inflation, known, slopes = correction(x, own, derivatives, [[4 * offsets**2 * own]], np.array([[slope_variance]]), of)
            dof = 2 * known**2 / (2 * known**2 / (n - 2 - kept) + slopes[0] ** 2 * slope_variance)
        else:
            x, own = design(within / f, b)
            w = np.diag(1 / (t + own))
            rest = w - w @ x @ np.linalg.inv(x.T @ w @ x) @ x.T @ w
            of_t = 2 / np.trace(rest @ rest)
            inflation, known, slopes = correction(x, t + own, [np.ones(k)], [[np.zeros(k)]], np.array([[of_t]]), of)
            spread = slopes[0] ** 2 * of_t
            for derivative, v in ((own, 2 / f), (2 * offsets * own, slope_variance)):
                _, _, along = correction(x, t + own, [derivative], [[np.zeros(k)]], np.array([[0.0]]), of)
                falls = np.sum(np.diag(w) ** 2 * derivative) / np.sum(np.diag(w) ** 2)
                spread += (along[0] - slopes[0] * falls) ** 2 * v
            dof = 2 * known**2 / spread
        return n * np.log1p(variance * inflation * fisher.ppf(LEVEL, 1, max(dof, 1)) / squares)

    def gap(at, of, along):
        profile = best(lambda t: negative_log_likelihood((*along(t[0], at), t[1]), rows, relative), [(of, ln_sigma)])
        return 2 * (profile.fun - top.fun)

    # S_min = exp(a - b): the same profile along another line
    critical = lambda at: gap(at, a, lambda other, at: (other, at)) - threshold([0, 1])
    s_min = lambda at: gap(at, b, lambda other, at: (at + other, other)) - threshold([1, -1])
    out = {
        "name": name,
        "rows": rows,
        "slope": slope,
        "e_min": np.exp(a),
        "critical": np.exp(b),
        "sigma": np.sqrt(squares / (n - 2 - kept)),
        "critical_low": np.exp(brentq(critical, b - 3, b, xtol=1e-9)),
        "critical_high": np.exp(brentq(critical, b, b + 3, xtol=1e-9)),
        "s_min_low": np.exp(brentq(s_min, a - b - 1, a - b, xtol=1e-9)),
        "s_min_high": np.exp(brentq(s_min, a - b, a - b + 1, xtol=1e-9)),
        "lack_of_fit_f": statistic,
        "lack_of_fit_p": p,
        "scattered": float(scattered),
    }
    return {key: float(v) if isinstance(v, np.floating) else v for key, v in out.items()}


sizes = [8, 16, 32, 64, 128, 256, 512, 1024, 2048]
cases = [
    golden("scatter between batch sizes", study(1, 300, 200, 0.1, sizes, 3, np.inf)),
    golden("three seeds", study(4, 300, 200, 0.1, sizes, 3, np.inf)),
    golden("one in six censored", study(2, 300, 200, 0.12, sizes, 3, 1.12)),
    golden("deviations that rise", study(6, 300, 200, 0.28, sizes, 3, np.inf, 0.28)),
    golden("five seeds, half censored", study(3, 300, 100, 0.15, sizes[:7], 5, 1.0)),
]
json.dump({"scipy": scipy.__version__, "numpy": np.__version__, "cases": cases}, sys.stdout, indent=1)
print()
