"""Golden values for src/distribution.rs. Run: python distributions.py"""

import scipy
from scipy.stats import f, norm, t

print("scipy", scipy.__version__)
for z in (-50.0, -30.1, -29.9, -5.0, 0.0, 2.0):
    print("ln_normal_cdf", z, repr(norm.logcdf(z)))
for level, dof in ((0.95, 1.0), (0.95, 7.0), (0.95, 43.0), (0.9, 2.5)):
    print("t_quantile", level, dof, repr(t.ppf(0.5 + level / 2, dof)))
print("normal_quantile", 0.975, repr(norm.ppf(0.975)))
for x, dof1, dof2 in ((3.0, 7.0, 18.0), (0.5, 3.0, 6.0), (40.0, 4.0, 10.0)):
    print("f_survival", x, dof1, dof2, repr(f.sf(x, dof1, dof2)))
