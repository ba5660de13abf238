"""What the checkpoints take, and what they share."""

from itertools import accumulate

from pipelines.report.content import Checkpoints
from pipelines.report.figures.figure import Figure, Trace, colour, layout
from pipelines.report.wording import size


def stored(checkpoints: Checkpoints) -> Figure | None:
    """Bytes that each commit added, beside what its state is; and in all."""
    commits = checkpoints.commits
    if not commits:
        return None
    steps = [f"{commit.step:,}" for commit in commits]
    raw, new = [it.raw_bytes for it in commits], [it.stored_bytes for it in commits]
    whole = len(commits) == checkpoints.total_commits
    return Figure(
        id="stored",
        title="Stored against raw",
        caption="Bars: one commit's state, and what it added to the bucket. Lines: all commits so far."
        + ("" if whole else f" The newest {len(commits)} of {checkpoints.total_commits:,} commits."),
        alt=f"{checkpoints.total_commits:,} commits of {size(checkpoints.raw_bytes)} take "
        f"{size(checkpoints.stored_bytes)}.",
        traces=[
            _bars("raw, one commit", steps, raw, "quiet"),
            _bars("stored, one commit", steps, new, "model"),
            _line("raw, all so far", steps, list(accumulate(raw)), "muted", "dot"),
            _line("stored, all so far", steps, list(accumulate(new)), "model", "solid"),
        ],
        layout=layout(
            x="step",
            y="bytes",
            x_axis={"type": "category", "nticks": 12},
            y_axis={"tickformat": ".2~s", "ticksuffix": "B", "rangemode": "tozero"},
            barmode="group",
            bargap=0.3,
        ),
    )


def shared(checkpoints: Checkpoints) -> Figure | None:
    """Of each commit's state, what an earlier one had stored already."""
    looked = [(it, it.reused_bytes) for it in checkpoints.commits if it.reused_bytes is not None]
    if not looked:
        return None
    steps = [f"{commit.step:,}" for commit, _ in looked]
    total = sum(commit.raw_bytes for commit, _ in looked)
    again = sum(reused for _, reused in looked)
    return Figure(
        id="shared",
        title="What commits share",
        caption="A chunk that an earlier commit has stored is not stored again: the plan, and whatever "
        f"training left as it was. {checkpoints.note}".strip(),
        alt=f"Of {size(total)} in {len(looked)} commits, {size(again)} had been stored by an earlier one.",
        traces=[
            _bars("new", steps, [commit.raw_bytes - reused for commit, reused in looked], "model"),
            _bars("stored by an earlier commit", steps, [reused for _, reused in looked], "green"),
        ],
        layout=layout(
            x="step",
            y="raw bytes",
            x_axis={"type": "category", "nticks": 12},
            y_axis={"tickformat": ".2~s", "ticksuffix": "B"},
            barmode="stack",
            bargap=0.3,
        ),
    )


def _bars(name: str, x: list[str], y: list[int], tint: str) -> Trace:
    return {
        "type": "bar",
        "name": name,
        "x": x,
        "y": y,
        "marker": {"color": colour(tint)},
        "hovertemplate": "%{y:.3s}B",
    }


def _line(name: str, x: list[str], y: list[int], tint: str, dash: str) -> Trace:
    return {
        "type": "scatter",
        "name": name,
        "x": x,
        "y": y,
        "mode": "lines+markers",
        "line": {"color": colour(tint), "width": 2, "dash": dash},
        "marker": {"size": 5, "color": colour(tint)},
        "hovertemplate": "%{y:.3s}B",
    }
