"""The tables the comparison prints."""

import math
import statistics
from dataclasses import dataclass, field


@dataclass
class Row:
    """What is known of a workload at a batch size. Seconds and bytes are a step's."""

    workload: str
    batch_size: int
    seconds: float
    loss: float
    memory: int | None
    split: dict
    operations: int
    moved: int
    bandwidth: float
    peers: dict = field(default_factory=dict)
    left_out: list = field(default_factory=list)

    def share_of_peak(self, peak):
        """What the step reaches of a large matrix product's operations a second."""
        return self.operations / peak / self.seconds

    def share_of_roofline(self, peak):
        """What it reaches of the speed that operations and memory traffic allow."""
        return max(self.operations / peak, self.moved / self.bandwidth) / self.seconds


def peer_cells(row, framework):
    """Examples a second of a peer, ratio and range."""
    peer = row.peers.get(framework)
    if peer is None:
        return f"{'-':>11} {'none runs':>22}"
    rate = f"{row.batch_size / peer['seconds']:11,.0f}"
    if "ratio" not in peer:
        return f"{rate} {'differ: {:.5g} vs {:.5g}'.format(row.loss, peer['loss']):>22}"
    low, high = peer["range"]
    return f"{rate} {peer['ratio']:7.2f} {f'({low:.2f}-{high:.2f})':>14}"


def print_speed(row):
    """Who takes how long."""
    rate = row.batch_size / row.seconds
    variant = row.peers.get("torch", {}).get("variant", "")
    print(
        f"{row.workload:4} {row.batch_size:5} {rate:11,.0f} {peer_cells(row, 'torch')} "
        f"{peer_cells(row, 'jax')}  {variant}",
        flush=True,
    )
    for reason in row.left_out:
        print(f"     left out: {' '.join(reason.split())[:160]}", flush=True)


SPEED_HEADER = (
    f"{'':4} {'batch':>5} {'ours':>11} {'PyTorch':>11} {'ratio':>7} {'(range)':>14} "
    f"{'JAX':>11} {'ratio':>7} {'(range)':>14}  PyTorch's variant"
)


def print_use(rows, peak):
    """What our step makes of the machine, and where its time goes."""
    print(
        f"\n{'':4} {'batch':>5} {'GFLOP/s':>8} {'of peak':>8} {'roofline':>9}  "
        f"{'MiB ours':>9} {'PyTorch':>8} {'JAX':>6}  "
        f"{'step ms':>9} {'forward':>8} {'backward':>8} {'update':>7} {'data':>6}"
    )
    for row in rows:
        memory = [row.memory] + [row.peers.get(f, {}).get("memory") for f in ("torch", "jax")]
        mebibytes = ["-" if m is None else f"{m / 2**20:.0f}" for m in memory]
        total = sum(row.split.values())
        shares = [f"{row.split[p] / total:.1%}" for p in ("forward", "backward", "update", "data")]
        speed = row.operations / row.seconds / 1e9
        print(
            f"{row.workload:4} {row.batch_size:5} {speed:8.1f} {row.share_of_peak(peak):8.1%} "
            f"{row.share_of_roofline(peak):9.1%}  {mebibytes[0]:>9} {mebibytes[1]:>8} {mebibytes[2]:>6}  "
            f"{row.seconds * 1e3:9.3f} {shares[0]:>8} {shares[1]:>8} {shares[2]:>7} {shares[3]:>6}"
        )


def geometric_mean(rows, framework):
    """The mean of the ratios to a framework, as text that says when some are missing."""
    ratios = [row.peers.get(framework, {}).get("ratio") for row in rows]
    there = [ratio for ratio in ratios if ratio is not None]
    if not there:
        return "none"
    mean = f"{math.exp(statistics.fmean(map(math.log, there))):.2f}"
    missing = len(ratios) - len(there)
    return mean + (f" ({missing} of {len(ratios)} rows have no ratio)" if missing else "")
