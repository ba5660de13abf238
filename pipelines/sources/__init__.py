"""Where rows come from: CSV and Parquet files of this machine or of buckets, and the demo's package.

`files.py` finds the files, `spool.py` fetches those of buckets. `csv_*.py`, `parquet_rows.py` and `wide.py`
read them; `profile.py` counts what their columns hold, and `decide.py` turns that into one schema for all
of them before a row is written. `convert.py` and `clock.py` make values of texts, `order.py` checks the
keys, and `body.py` cuts the rows into appends that name themselves: a file adds its rows to a table once.
"""

from pipelines.sources.body import Body, Piece
from pipelines.sources.collect import FLIGHTS, Collected, check_reading, collect, flights_piece
from pipelines.sources.reading import Reading
from pipelines.sources.spool import Spool
from pipelines.sources.target import Target

__all__ = [
    "FLIGHTS",
    "Body",
    "Collected",
    "Piece",
    "Reading",
    "Spool",
    "Target",
    "check_reading",
    "collect",
    "flights_piece",
]
