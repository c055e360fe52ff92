"""Memory allocators a peer can run with, each as the environment of its process.

Training takes and gives back large tensors every step. As it comes, glibc returns them to the
system each time, which then clears the pages again; others keep them.
"""

import glob
import os

HERE = os.path.dirname(os.path.abspath(__file__))

# Nothing is mapped on its own, nothing is given back.
KEEPING = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(1 << 40),
    "MALLOC_TOP_PAD_": str(1 << 26),
}

LIBRARIES = {
    "jemalloc": "libjemalloc.so.2",
    "tcmalloc": "libtcmalloc_minimal.so.4",
    "mimalloc": "libmimalloc.so.2",
}


def find(library):
    """The path of a library that `setup` unpacked or that the system has."""
    for folder in (f"{HERE}/.venv/allocators/usr/lib/*", "/usr/lib/*", "/usr/lib", "/usr/lib64"):
        for path in sorted(glob.glob(f"{folder}/{library}*")):
            return path
    return None


def allocators():
    """Environments by name, and the names of those that are not on this machine."""
    found = {"glibc": {}, "glibc keeping": KEEPING}
    missing = []
    for name, library in LIBRARIES.items():
        path = find(library)
        if path:
            found[name] = {"LD_PRELOAD": path}
        else:
            missing.append(name)
    return found, missing
