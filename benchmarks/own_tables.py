"""Does a run without any settings of its own beat the season before, on tables that it has never seen?

    python -m benchmarks.own_tables [--quick] [--minutes N] [--only NAME]

As a stranger would: `carousel ingest FILE`, `carousel train --table`, `carousel evaluate --json`, each a
process of its own, on an embedded S3 server; every setting is derived from the table, for 3 minutes of
training. Three public data sets, read from the folder that CAROUSEL_DATA names (`../shared/data` if not set);
one that is not there is reported as absent. `--quick`: ETTh1 alone, a third of a minute.

Figures, by data set: `NAME_over_last_season` is the model's mean absolute error ÷ that of repeating the
season before; `NAME_over_best_baseline` the same against the best of all four; `NAME_mase` as M4 scales
errors; `NAME_train_s` wall time of the training command, looking at the table included; its peak as
`NAME_peak_rss_mb`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.report import Peak, print_result

_ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class DataSet:
    """Files, and what a person would tell about them."""

    files: tuple[str, ...]
    ingest: tuple[str, ...]
    train: tuple[str, ...] = ()


SETS = {
    "etth1": DataSet(("ett/ETTh1.csv",), ("--time", "date"), ("--target", "OT")),
    "la_haute_borne": DataSet(
        ("la-haute-borne/la-haute-borne-data-2014-2015.csv.gz",),
        ("--time", "Date_time", "--entity", "Wind_turbine_name", "--duplicates", "first"),
        ("--target", "P_avg", "--timezone", "Europe/Paris"),
    ),
    "m4_hourly": DataSet(("m4-hourly/Hourly-train.csv",), ("--wide", "--every", "1h"), ("--horizon", "48")),
}


def carousel(root: Path, *arguments: str, peak: Peak | None = None) -> str:
    """Run one command to its end; what it printed on stdout.

    Raises:
        RuntimeError: it failed; the message has what it said.
    """
    command = [sys.executable, "-m", "pipelines.cli", "--root", str(root), *arguments]
    with (
        tempfile.TemporaryFile("w+") as out,
        tempfile.TemporaryFile("w+") as err,
        subprocess.Popen(command, cwd=_ROOT, stdout=out, stderr=err) as process,
    ):
        while process.poll() is None:
            if peak is not None:
                peak.sample()
            time.sleep(0.5)
        out.seek(0)
        err.seek(0)
        if process.returncode:
            raise RuntimeError(
                f"carousel {' '.join(arguments)} ended with {process.returncode}: {err.read()}"
            )
        return out.read()


def measured(
    name: str, files: list[Path], root: Path, minutes: float
) -> tuple[dict[str, float], dict[str, Any]]:
    """One data set from raw file to evaluation: our figures, and the baselines' errors."""
    about, table, config = SETS[name], f"s3://lake/{name}", str(root / f"{name}.yaml")
    carousel(root, "ingest", *map(str, files), "--table", table, *about.ingest)
    peak, began = Peak(), time.perf_counter()
    options = ["--table", table, "--minutes", str(minutes), "-c", config, *about.train]
    print(carousel(root, "train", *options, peak=peak), file=sys.stderr)
    seconds = time.perf_counter() - began
    answer = json.loads(carousel(root, "evaluate", "-c", config, "--json"))
    found = answer.get("figures", answer)
    errors = {key: report["all"]["mae"] for key, report in found["baselines"].items()}
    own = found["model"]["all"]["mae"]
    figures = {
        f"{name}_over_last_season": own / errors["same_time_last_season"],
        f"{name}_over_best_baseline": own / min(errors.values()),
        f"{name}_mae": own,
        f"{name}_coverage": found["model"]["all"]["coverage"],
        f"{name}_mase": found["model"]["scaled"]["mase"],
        f"{name}_train_s": round(seconds, 1),
        f"{name}_peak_rss_mb": round(peak.mb, 1),
    }
    return figures, errors


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--only", choices=SETS, action="append")
    asked = parser.parse_args()
    minutes = asked.minutes or (1 / 3 if asked.quick else 3.0)
    folder = Path(os.environ.get("CAROUSEL_DATA", _ROOT.parent / "shared" / "data"))
    figures: dict[str, float] = {}
    peers: dict[str, dict[str, Any]] = {}
    for name in asked.only or (["etth1"] if asked.quick else list(SETS)):
        files = [folder / file for file in SETS[name].files]
        if missing := [str(file) for file in files if not file.is_file()]:
            peers[name] = {"absent": f"no such file: {', '.join(missing)}"}
            continue
        with tempfile.TemporaryDirectory() as root:
            ours, errors = measured(name, files, Path(root), minutes)
        figures |= ours
        peers[name] = {f"{key}_mae": error for key, error in errors.items()}
    print_result("own_tables", quick=asked.quick, figures=figures, peers=peers)


if __name__ == "__main__":
    main()
