"""Help that shows a flag as what it is: without `<bool>` behind it, since it takes no value."""

from typing import Any

import typer
from typer.core import TyperGroup


def without_types_of_flags(command: Any, above: typer.Context | None = None) -> None:
    """Take the type of every flag out of the help of `command` and of the commands below it."""
    context = typer.Context(command, parent=above, **command.context_settings)
    for parameter in command.get_params(context):  # `--help` too, which each command makes for itself
        if getattr(parameter, "is_flag", False):
            parameter.metavar = ""
    if isinstance(command, TyperGroup):
        for name in command.list_commands(context):
            without_types_of_flags(command.get_command(context, name), context)
