"""What ran, in plain words, and the few figures at the top of the page."""

from collections.abc import Iterator
from typing import Any, Literal

from lstm.tasks.evaluate import Evaluation
from lstm.training.trained import Trained
from pipelines.display.names import shown
from pipelines.display.scores import verdict
from pipelines.report.content import About, Checkpoints, Fact, Missing, Timing
from pipelines.report.quality import interval_text
from pipelines.report.wording import counted, listed, number, seconds, share, size, span
from storage.checkpoints import Commit

State = Literal["finished", "stopped early", "unfinished"]


def about(
    trained: Trained,
    newest: Commit,
    finished: bool,
    evaluated: Evaluation | Missing,
    timing: Timing | Missing,
    checkpoints: Checkpoints,
    why: str,
) -> About:
    """The top of the page.

    Args:
        trained: the commit that the report is about.
        newest: the run's newest complete commit.
        finished: whether that one ended the training.
        evaluated: the commit's figures.
        timing: where the seconds went.
        checkpoints: what the run stored.
        why: why this very commit.
    """
    state, note = _state(trained, newest, finished)
    return About(
        state=state,
        state_note=note,
        verdict=f"Not compared with the baselines: {evaluated.reason}"
        if isinstance(evaluated, Missing)
        else verdict(evaluated),
        verdict_kind="none" if isinstance(evaluated, Missing) else "bad" if _loses(evaluated) else "good",
        sentences=tuple(_sentences(trained, why)),
        facts=tuple(_facts(evaluated, timing, checkpoints)),
    )


def _loses(evaluated: Evaluation) -> bool:
    return bool(evaluated.lost_to)


def _state(trained: Trained, newest: Commit, finished: bool) -> tuple[State, str]:
    budget = trained.job.training.steps
    if not finished:
        return "unfinished", (
            f"This run stands at step {newest.step:,} of {budget:,}: it is still training, or was stopped. "
            f"`carousel resume {trained.job.run}` goes on with it."
        )
    if newest.step < budget:
        patience = trained.job.training.patience
        return "stopped early", (
            f"Early stopping ended it at step {newest.step:,} of {budget:,}: {patience} validations in a row "
            "were no better than the best."
        )
    return "finished", f"All {budget:,} steps of its budget are done."


def _sentences(trained: Trained, why: str) -> Iterator[str]:
    job, plan, task = trained.job, trained.plan, trained.task
    window, forecast, training = plan.window, task.config, job.training
    pieces = plan.pieces
    first, last = int(pieces.first_time.min()), int(pieces.last_time.max())
    length = f"{last - first + 1:,} ordinals" if plan.keys.ordinal else span(last - first)
    yield (
        f"The table {shown(job.table.uri, 200)} ({'Delta' if job.table.format == 'delta' else 'Iceberg'}, "
        f"snapshot {shown(plan.snapshot_id)}) holds {counted(plan.rows, 'row')} of "
        f"{counted(len(plan.series), 'series', 'series')} over {length}, usually one every "
        f"{interval_text(plan).removeprefix('1 ')}."
    )
    ahead = f"{counted(window.horizon, 'row')} ahead"
    context = counted(window.context, "row")
    if not plan.keys.ordinal:
        ahead += f" ({span(window.horizon * plan.interval)})"
        context += f" ({span(window.context * plan.interval)})"
    inputs = f"the past of {listed([shown(name) for name in forecast.past], 12)}, " if forecast.past else ""
    yield (
        f"From the last {context} of {shown(forecast.target)}, {inputs}and the calendar of "
        f"{forecast.timezone}, the model forecasts {shown(forecast.target)} up to {ahead}: "
        f"{len(forecast.quantiles)} quantiles, from {forecast.quantiles[0]:g} to {forecast.quantiles[-1]:g}."
    )
    parameters = sum(parameter.numel() for parameter in trained.model.parameters())
    yield (
        f"The model is an LSTM of {counted(forecast.layers, 'layer')} with {forecast.hidden} units, "
        f"{parameters:,} parameters in all, that reads {counted(forecast.patch, 'row')} at a time. It was "
        f"trained with AdamW on batches of {training.batch_size:,} windows, by "
        f"{counted(training.ranks, 'rank')} with {counted(training.threads_per_rank, 'thread')} each, on a "
        f"budget of {counted(training.steps, 'step')}."
    )
    yield (
        f"Windows are divided by time: {plan.windows('train'):,} for training, "
        f"{plan.windows('validation'):,} for validation, {plan.windows('test'):,} for the test. {why}"
    )


def _facts(
    evaluated: Evaluation | Missing, timing: Timing | Missing, checkpoints: Checkpoints
) -> Iterator[Fact]:
    if not isinstance(evaluated, Missing):
        own = evaluated.model["all"]
        best = evaluated.best_baseline
        theirs = evaluated.baselines[best]["all"]["mae"]
        yield Fact("mean absolute error", number(own["mae"]), f"{shown(evaluated.target)}, all test windows")
        yield Fact("best baseline", number(theirs), evaluated.name(best))
        nominal = evaluated.model["nominal_coverage"]
        yield Fact("in the interval", share(own.get("coverage")), f"of the values; {share(nominal)} intended")
    if checkpoints.raw_bytes:
        ratio = checkpoints.stored_bytes / checkpoints.raw_bytes
        yield Fact(
            "checkpoints stored",
            size(checkpoints.stored_bytes),
            f"{ratio:.2f} of the {size(checkpoints.raw_bytes)} in "
            f"{counted(checkpoints.total_commits, 'commit')}",
        )
    if not isinstance(timing, Missing):
        parts = _sums(timing)
        total = sum(parts.values())
        busy = share(parts["computing"] / total) if total else "–"
        yield Fact("training time", seconds(total), f"{busy} of it computing")


def _sums(timing: Timing) -> dict[str, Any]:
    return {
        "computing": sum(timing.computing_s),
        "waiting": sum(timing.waiting_s),
        "validating": sum(timing.validating_s),
        "saving": sum(timing.saving_s),
    }
