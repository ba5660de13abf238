"""Table rows as training windows, in an order that survives restarts.

A *window* is `context + horizon` consecutive rows of one segment. A *plan* fixes which windows there are and
in which order; a *cursor* into that order is the only state that a stream needs to resume.

Rooms, from the ground up: `arrays`, `table`, `index`, `plan`, `features` and `order`, `read`; then streams.
Reads snapshots, yields arrays: no torch, no Prefect. What must hold: ARCHITECTURE.md#what-must-hold
"""

from lstm.windows.batch import Batch
from lstm.windows.contexts import LastContexts, last_contexts
from lstm.windows.curriculum import Curriculum
from lstm.windows.errors import WindowError
from lstm.windows.features.calendar import Calendar
from lstm.windows.features.learned import Learned
from lstm.windows.features.scaling import Scaling, fit_scaling
from lstm.windows.features.series_scaling import SeriesScaling, fit_series_scaling
from lstm.windows.features.vocabulary import Vocabulary, fit_vocabularies
from lstm.windows.index.index import SequenceIndex, index_snapshot
from lstm.windows.mixture import Mixture
from lstm.windows.open import open_stream, open_windows
from lstm.windows.plan.folds import rolling_origin
from lstm.windows.plan.plan import Plan
from lstm.windows.plan.planning import make_plan
from lstm.windows.read.read import WindowReader
from lstm.windows.spec import SPLITS, OrderSpec, Split, SplitSpec, WindowSpec
from lstm.windows.stream import WindowStream
from lstm.windows.table.column import NULL_POLICIES, Column, NullPolicy
from lstm.windows.table.sequences import Sequences
from lstm.windows.table.unnested import UnnestedSnapshot
from lstm.windows.table_windows import TableWindows
from lstm.windows.track_stream import TrackStream

__all__ = [
    "NULL_POLICIES",
    "SPLITS",
    "Batch",
    "Calendar",
    "Column",
    "Curriculum",
    "LastContexts",
    "Learned",
    "Mixture",
    "NullPolicy",
    "OrderSpec",
    "Plan",
    "Scaling",
    "SequenceIndex",
    "Sequences",
    "SeriesScaling",
    "Split",
    "SplitSpec",
    "TableWindows",
    "TrackStream",
    "UnnestedSnapshot",
    "Vocabulary",
    "WindowError",
    "WindowReader",
    "WindowSpec",
    "WindowStream",
    "fit_scaling",
    "fit_series_scaling",
    "fit_vocabularies",
    "index_snapshot",
    "last_contexts",
    "make_plan",
    "open_stream",
    "open_windows",
    "rolling_origin",
]
