"""Help that reads well: no `<bool>` behind flags, the type of one value behind lists, whole paragraphs."""

import re
from typing import Any

import typer
from typer.core import TyperGroup


def made_readable(command: Any, above: typer.Context | None = None) -> None:
    """Mend the help of `command` and of the commands below it."""
    if command.help:  # Typer keeps the ends of a docstring's lines, but for those of the first paragraph
        command.help = re.sub(r"(?<!\n)\n(?!\n)", " ", command.help)
    context = typer.Context(command, parent=above, **command.context_settings)
    for parameter in command.get_params(context):  # `--help` too, which each command makes for itself
        if getattr(parameter, "is_flag", False):
            parameter.metavar = ""
        elif getattr(parameter, "multiple", False) and parameter.metavar is None:
            parameter.metavar = "<str>"
    if isinstance(command, TyperGroup):
        for name in command.list_commands(context):
            made_readable(command.get_command(context, name), context)
