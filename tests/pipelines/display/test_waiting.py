"""What takes its time says so: on a terminal by a spinner or bar, elsewhere by a line now and then."""

import io
import threading

import pytest
from rich.console import Console

from pipelines.display import waiting as module
from pipelines.display.terminal import silence_notes
from pipelines.display.waiting import counted, waiting


@pytest.fixture
def terminal(monkeypatch):
    """Standard error as a terminal that keeps what was drawn on it."""
    drawn = io.StringIO()
    notes = Console(file=drawn, force_terminal=True, width=80)
    monkeypatch.setattr(module, "console", lambda *, stderr: notes)
    return drawn


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(module, "LINE_EVERY_S", 0.01)


def test_a_terminal_shows_what_goes_on_and_nothing_of_it_stays(terminal):
    with waiting("counting sheep"):
        pass
    assert "counting sheep" in terminal.getvalue()
    assert terminal.getvalue().endswith("\x1b[2K")  # the line is erased


def test_batches_are_counted_and_passed_on(terminal):
    batches = [[1, 2], [3], []]
    assert list(counted(batches, "measuring", 3, "windows")) == batches
    assert "3/3 windows" in terminal.getvalue()


def test_without_a_terminal_lines_tell_how_far_it_is(impatient, capfd):
    said = threading.Event()
    for _ in counted([[0] * 1500], "measuring", 2000, "windows"):
        said.wait(0.2)
    text = capfd.readouterr()
    assert text.err.startswith("  measuring ... 0 of 2,000 windows, 0 s\n")
    assert text.out == ""


def test_what_is_over_soon_says_nothing_without_a_terminal(capsys):
    with waiting("blinking"):
        pass
    assert capsys.readouterr() == ("", "")


def test_quiet_is_quiet(impatient, capfd):
    silence_notes(True)
    try:
        with waiting("whispering"):
            threading.Event().wait(0.1)
    finally:
        silence_notes(False)
    assert capfd.readouterr() == ("", "")


def test_an_error_comes_through(terminal):
    with pytest.raises(KeyError), waiting("failing"):
        raise KeyError
