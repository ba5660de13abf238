"""The processes of a launch, found from outside: torchrun and its ranks."""

import psutil


def torchrun() -> psutil.Process:
    """The one torchrun that this process has started."""
    return next(child for child in psutil.Process().children() if "lstm.training.agent" in child.cmdline())


def ranks() -> dict[int, psutil.Process]:
    """Its ranks that have got as far as running, by number."""
    environments = {child: child.environ() for child in torchrun().children()}
    return {int(environ["RANK"]): child for child, environ in environments.items() if "RANK" in environ}
