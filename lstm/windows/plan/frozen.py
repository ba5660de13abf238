"""A plan as canonical JSON and back, with the same id."""

import json
from dataclasses import asdict
from typing import Any

import numpy as np

from lstm.windows.arrays.packing import pack, unpack
from lstm.windows.errors import PlanMismatch
from lstm.windows.index.segments import Pieces
from lstm.windows.plan import laid_out
from lstm.windows.plan.nulls import NO_NULLS, Nulls
from lstm.windows.plan.plan import Plan
from lstm.windows.plan.plan_id import FORMAT
from lstm.windows.plan.splits import Cut
from lstm.windows.spec import SPLITS, OrderSpec, SplitSpec, WindowSpec
from lstm.windows.table.keys import Keys
from storage.checkpoints.format.canonical import dumps

_PIECES: dict[str, type[np.generic]] = {
    "group_file": np.int32,
    "group_number": np.int32,
    "group_rows": np.int64,
    "series": np.int32,
    "rows": np.int32,
    "first_time": np.int64,
    "last_time": np.int64,
}


def freeze(plan: Plan) -> bytes:
    """Canonical JSON of a plan."""
    return dumps(
        {
            "format": FORMAT,
            "id": plan.id,
            "table": plan.table,
            "snapshot_id": plan.snapshot_id,
            "files": plan.files,
            "column_identities": plan.column_identities,
            "keys": _keys(plan.keys),
            "window": asdict(plan.window),
            "split": plan.split.to_json(),
            "order": plan.order.to_json(),
            "series": plan.series,
            "interval": plan.interval,
            "pieces": {name: pack(getattr(plan.pieces, name)) for name in _named(plan.keys)},
            "splits": plan.splits,
            "cuts": [[time, *map(pack, cut.arrays())] for time, cut in sorted(plan.cuts.items())],
            **({"nulls": plan.nulls.to_json()} if plan.nulls.policies else {}),
            **({} if plan.weights is None else {"weights": pack(plan.weights)}),
            **({"laid_out": plan.freeze_layout()} if len(plan.pieces) >= laid_out.MANY else {}),
        }
    )


def _keys(keys: Keys) -> dict[str, Any]:
    values = asdict(keys)
    return {name: value for name, value in values.items() if value or name not in ("sorts", "grid")}


def thaw(data: bytes) -> Plan:
    """The inverse of `freeze`.

    Raises:
        PlanMismatch: not a plan, one of another version, or its id does not come out the same.
    """
    try:
        values = json.loads(data)
        if values["format"] != FORMAT:
            raise PlanMismatch(
                f"the frozen plan has format {values['format']}, but this version reads {FORMAT}; go on with "
                "the version of carousel that began the run, or start a new run"
            )
        plan = _plan_of(values)
        if "laid_out" in values:
            plan.thaw_layout(values["laid_out"])
        same = plan.id == values["id"]
    except (KeyError, TypeError, ValueError, IndexError, AssertionError) as error:
        raise PlanMismatch(f"the frozen plan is damaged ({error!r}); restore another commit") from None
    if not same:
        raise PlanMismatch(
            f"the frozen plan says that its id is {values['id']}, but it comes out as {plan.id}: it is "
            "damaged or was written by another version; restore another commit, or start a new run"
        )
    return plan


def _named(keys: Keys) -> dict[str, type[np.generic]]:
    """What is kept of the pieces."""
    return _PIECES if keys.grid is None else {**_PIECES, "stored": np.int32}


def _plan_of(values: dict[str, Any]) -> Plan:
    keys = Keys(**values["keys"])
    return Plan(
        table=values["table"],
        snapshot_id=values["snapshot_id"],
        files=tuple(values["files"]),
        column_identities=tuple(values["column_identities"]),
        keys=keys,
        window=WindowSpec(**values["window"]),
        split=SplitSpec(**values["split"]),
        order=OrderSpec(**values["order"]),
        series=tuple(values["series"]),
        interval=values["interval"],
        pieces=Pieces(
            **{name: unpack(values["pieces"][name], dtype) for name, dtype in _named(keys).items()}
        ),
        splits={split: (values["splits"][split][0], values["splits"][split][1]) for split in SPLITS},
        cuts={
            time: Cut(*(unpack(packed, np.int64) for packed in arrays)) for time, *arrays in values["cuts"]
        },
        nulls=Nulls.from_json(values["nulls"]) if "nulls" in values else NO_NULLS,
        weights=unpack(values["weights"], np.float64) if "weights" in values else None,
    )
