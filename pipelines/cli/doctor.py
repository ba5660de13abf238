"""`carousel doctor`: is everything here that a run needs, and what to do where it is not."""

import threading
import time
from typing import TYPE_CHECKING

import typer

from pipelines.cli.answers import AsJson, print_json
from pipelines.cli.app import DEFAULT_CONFIG, Assignments, ConfigPath, settings
from pipelines.display.terminal import console

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.table import Table

    from pipelines.doctor import Finding

CHECK = "doctor-"
"""How names of the threads begin that check."""
_STYLES = {"ok": "green", "warning": "yellow", "problem": "bold red", "skipped": "dim"}


def doctor(
    context: typer.Context,
    config: ConfigPath = DEFAULT_CONFIG,
    assign: Assignments = None,
    as_json: AsJson = False,
) -> None:
    """Check this machine, the bucket and the settings, in 10 s; say what to do about each problem.

    Exit code 0: no problem, perhaps warnings. 1: a problem.
    """
    from pipelines.display.waiting import waiting
    from pipelines.doctor import Case, Outcome, examine
    from pipelines.doctor.examination import LIMIT_S

    root = settings(context).root
    left = LIMIT_S - (time.monotonic() - settings(context).began)
    case = Case(root, config, tuple(assign or ()), optional=config == DEFAULT_CONFIG)
    with waiting("looking at this machine, the bucket and the settings"):
        found = examine(case, left)
    outcomes = [finding.outcome for findings in found.values() for finding in findings]
    problems, warnings = outcomes.count(Outcome.problem), outcomes.count(Outcome.warning)
    if as_json:
        print_json({"problems": problems, "warnings": warnings, "root": root, "found": found})
    else:
        out = console()
        out.print(_table(found), soft_wrap=False)
        out.print(_counted(problems, warnings))
    raise typer.Exit(int(problems > 0))


def has_given_up() -> bool:
    """Whether checks that had no answer in time still wait for one."""
    return any(thread.name.startswith(CHECK) for thread in threading.enumerate())


def _counted(problems: int, warnings: int) -> str:
    if not problems + warnings:
        return "all is well"
    many = "" if warnings == 1 else "s"
    return f"{problems or 'no'} problem{'' if problems == 1 else 's'}, {warnings or 'no'} warning{many}"


def _table(found: "Mapping[str, list[Finding]]") -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for _ in range(3):
        table.add_column(overflow="fold")
    for group, findings in found.items():
        table.add_row(Text(group, style="bold"))
        for finding in findings:
            outcome = Text(f"  {finding.outcome.value}", style=_STYLES[finding.outcome.value])
            table.add_row(outcome, Text(finding.name), Text(finding.seen))
            if finding.remedy is not None:
                table.add_row("", "", Text(f"-> {finding.remedy}", style="italic"))
    return table
