"""What changed between two commits, for people."""

from collections.abc import Sequence

from rich.table import Table

from storage.checkpoints.differences import Difference


def difference_table(changes: Sequence[Difference]) -> Table:
    """One row per tensor, unchanged ones counted only."""
    table = Table("tensor", "change", "numbers changed", "largest", "rms ÷ rms before", box=None)
    for it in changes:
        if it.change != "same":
            table.add_row(
                it.tensor,
                it.change,
                "" if it.changed is None else f"{it.changed:.1%}",
                "" if it.largest is None else f"{it.largest:.3g}",
                "" if it.relative is None else f"{it.relative:.3g}",
            )
    same = sum(it.change == "same" for it in changes)
    table.caption = f"{same:,} of {len(changes):,} tensors are the same"
    return table
