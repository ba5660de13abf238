"""Rolling-origin backtests: the same table split several times, each time with a later end of training."""

from lstm.windows.errors import WindowError
from lstm.windows.index.index import SequenceIndex
from lstm.windows.spec import SplitSpec


def rolling_origin(
    index: SequenceIndex, *, folds: int, test_rows: int, validation_rows: int, embargo_rows: int = 0
) -> list[SplitSpec]:
    """Splits whose test stretches follow each other and end with the table; the earliest comes first.

    Each fold trains on all that lies before its validation, so a later fold trains on more.

    Args:
        index: of the table.
        folds: how many.
        test_rows: sampling intervals that each fold is tested on.
        validation_rows: sampling intervals before them.
        embargo_rows: as `SplitSpec`'s.

    Raises:
        WindowError: so many folds leave nothing to train on.
    """
    if min(folds, test_rows, validation_rows) < 1:
        raise ValueError(
            f"folds, test_rows and validation_rows must be >= 1, got {folds}, {test_rows}, {validation_rows}"
        )
    first = int(index.pieces.first_time.min())
    end = int(index.pieces.last_time.max()) + index.interval
    have, need = (end - first) // index.interval, folds * test_rows + validation_rows + embargo_rows
    if need >= have:
        raise WindowError(
            f"{folds} folds of {test_rows} rows, and {validation_rows} + {embargo_rows} before the first, "
            f"take {need} of the {have} sampling times of the table; ask for fewer or shorter ones"
        )
    say, step = index.keys.say, index.interval
    return [
        SplitSpec(
            embargo_rows=embargo_rows,
            validation_from=say(before - (test_rows + validation_rows) * step),
            test_from=say(before - test_rows * step),
            test_before=say(before),
        )
        for before in (end - (folds - 1 - fold) * test_rows * step for fold in range(folds))
    ]
