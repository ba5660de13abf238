"""Entities that training never sees: a hash of the name chooses, so one stays held out as others come."""

from collections.abc import Sequence

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from lstm.windows.errors import WindowError
from lstm.windows.index.runs import Entity
from lstm.windows.spec import HELD_OUT, Split, SplitSpec
from storage.checkpoints.format.canonical import dumps


def held_out(spec: SplitSpec, series: Sequence[Entity]) -> dict[Split, NDArray[np.bool_]]:
    """[s] by split: the series whose windows are all its own, whatever their time.

    The hash of an entity is the first 8 bytes, little-endian, of BLAKE3 of the canonical JSON array
    [seed, "hold-out", entity]; as a fraction of 2⁶⁴ it is below the test share, or between that and the sum
    of both, or training's.

    Raises:
        WindowError: the table has no entity of that name, or no entities; none is held out, or all are.
    """
    if series == (None,):
        raise WindowError("the table is one series, so no entity can be held out; split it by time")
    found = {split: _named(spec, split, series) for split in HELD_OUT}
    taken = np.logical_or.reduce(list(found.values()))
    drawn = np.array([_fraction(spec.entity_seed, entity) for entity in series])
    low = 0.0
    shares: tuple[tuple[Split, float], ...] = (
        ("test", spec.test_entities),
        ("validation", spec.validation_entities),
    )
    for split, share in shares:
        found[split] |= (low <= drawn) & (drawn < low + share) & ~taken
        low += share
        if share and not found[split].any():
            raise WindowError(
                f"a share of {share:g} holds none of {len(series)} entities out for the {split} split; "
                f"take a larger share or another entity_seed (now {spec.entity_seed}), or name some in "
                f"splits.{split}_names"
            )
    if np.logical_or.reduce(list(found.values())).all():
        raise WindowError(
            f"all {len(series)} entities are held out, so none is left to train on; lower the shares, or "
            "name fewer"
        )
    return found


def _named(spec: SplitSpec, split: Split, series: Sequence[Entity]) -> NDArray[np.bool_]:
    names = spec.test_names if split == "test" else spec.validation_names
    texts = [None if entity is None else str(entity) for entity in series]
    if unknown := sorted(set(names) - set(texts)):
        raise WindowError(
            f"{split}_names holds out {', '.join(map(repr, unknown))}, but the table has no such entity "
            f"among its {len(series)}"
        )
    return np.isin(np.array(texts, object), np.array(names, object))


def _fraction(seed: int, entity: Entity) -> float:
    digest = blake3(dumps([seed, "hold-out", entity])).digest(8)
    return int.from_bytes(digest, "little") / 2**64
