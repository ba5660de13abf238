"""How much more than its share the busiest rank has of a batch.

    python -m benchmarks.rank_load

Ranks own whole lanes, so a batch does not divide evenly among them: a rank with more windows than the mean
keeps the others waiting. Simulated with the order itself, 48 lanes and batches of 256: superblocks of 100 to
5,000 windows, drawn at random, and superblocks of one size.

- `largest_over_mean_N`: windows of the busiest of N ranks ÷ the mean over ranks - 1, mean over the batches of
  an epoch
- `worst_over_mean_N`: the same in the worst batch
"""

import argparse

import numpy as np
from numpy.typing import NDArray

from benchmarks.report import print_result
from lstm.windows import OrderSpec
from lstm.windows.order.order import EpochOrder

_RANKS = (2, 3, 8, 48)
_BATCH = 256
_SUPERBLOCKS = 2_000


def main() -> None:
    """Lay out an epoch, count, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the superblocks")
    asked = parser.parse_args()
    count = _SUPERBLOCKS // 10 if asked.quick else _SUPERBLOCKS
    of_one_size = loads(np.full(count, 1_000))
    figures = loads(np.random.default_rng(0).integers(100, 5_000, count))
    print_result(
        "rank_load", quick=asked.quick, figures=figures, peers={"superblocks of one size": of_one_size}
    )


def loads(windows: NDArray[np.int64]) -> dict[str, float]:
    """Figures of an epoch over superblocks of so many windows."""
    spec = OrderSpec()
    order = EpochOrder(windows, lanes=spec.lanes, pool=spec.pool, seed=0, epoch=0)
    batches = order.windows // _BATCH
    lanes = order.merge(0, batches * _BATCH).lanes.reshape(batches, _BATCH)
    figures = {}
    for ranks in _RANKS:
        shares = np.stack([(lanes % ranks == rank).sum(axis=1) for rank in range(ranks)])
        above = shares.max(axis=0) / (_BATCH / ranks) - 1
        figures[f"largest_over_mean_{ranks}"] = round(float(above.mean()), 4)
        figures[f"worst_over_mean_{ranks}"] = round(float(above.max()), 4)
    return figures


if __name__ == "__main__":
    main()
