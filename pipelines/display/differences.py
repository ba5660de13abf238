"""What changed between two commits, for people."""

from rich.table import Table

from storage.checkpoints.restore.differences import Compared


def difference_table(compared: Compared) -> Table:
    """One row per tensor, unchanged ones counted only."""
    changes = compared.changes
    table = Table(
        "tensor", "change", "numbers changed", "largest", "rms ÷ rms before", "not finite", box=None
    )
    for it in changes:
        if it.change != "same":
            table.add_row(
                it.tensor,
                it.change,
                "" if it.changed is None else f"{it.changed:.1%}",
                "" if it.largest is None else f"{it.largest:.3g}",
                "" if it.relative is None else f"{it.relative:.3g}",
                f"{it.not_finite:,}" if it.not_finite else "",
            )
    same = sum(it.change == "same" for it in changes)
    table.caption = f"{same:,} of {len(changes):,} tensors are the same"
    return table
