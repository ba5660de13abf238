"""`carousel status`: what runs here, how runs stand, how much lies there."""

import typer

from pipelines.cli.answers import AsJson, print_json
from pipelines.cli.app import DEFAULT_CONFIG, Assignments, ConfigPath, called, settings, storage_config
from pipelines.display.terminal import console


def status(
    context: typer.Context,
    config: ConfigPath = DEFAULT_CONFIG,
    assign: Assignments = None,
    as_json: AsJson = False,
) -> None:
    """Show what runs, where and since when; how runs stand and how to go on; how much data there is."""
    from pipelines.upkeep.status import look, shown

    root = settings(context).root
    found = look(root, storage_config(config, assign))
    if as_json:
        print_json(found)
        return
    out = console()
    for part in shown(found, called(root), "" if config == DEFAULT_CONFIG else f" -c {config}"):
        out.print(part)
