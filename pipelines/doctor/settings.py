"""The run's settings: is there a file, and is it right?"""

from collections.abc import Iterator

from pipelines.doctor.case import Case
from pipelines.doctor.finding import Finding, mistake, ok, skipped


def check(case: Case) -> Iterator[Finding]:
    """The file of settings, with the environment and `--set` over it."""
    read = case.settings()
    if read.trouble is not None:
        remedy = f"mend {case.config}; `carousel config schema` says all that may stand there"
        yield mistake("settings", read.trouble, remedy)
    elif read.run is None:
        yield skipped("settings", f"no {case.config} here; without one the embedded S3 server is used")
    else:
        run = read.run
        yield ok("settings", f"{case.config}: run {run.run!r} reads {run.table.uri}", run=run.run)
