"""The golden vectors on other architectures, the second of which has the other byte order."""

import os
import tempfile
from pathlib import Path
from typing import Any

import pytest

from .foreign_python import ARM64, S390X, Architecture, Unobtainable, run_there

FOLDER = Path(os.environ.get("CAROUSEL_TEST_FOREIGN") or tempfile.gettempdir()) / "carousel-foreign-python"
"""Some 100 MB of Debian's packages, which the next run finds again."""
SCRIPT = Path(__file__).with_name("golden_there.py")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def decoded_on(architecture: Architecture) -> dict[str, Any]:
    try:
        told: dict[str, Any] = run_there(architecture, SCRIPT, FOLDER)
    except Unobtainable as reason:
        pytest.skip(str(reason))
    assert told["machine"] == architecture.qemu
    assert told["vectors"] > 40
    return told


def test_golden_vectors_decode_to_the_same_bits_on_arm64() -> None:
    told = decoded_on(ARM64)
    assert (told["byteorder"], told["wrong"]) == ("little", {"ours": [], "independent": []})


def test_a_reader_written_from_the_page_decodes_golden_vectors_on_a_big_endian_machine() -> None:
    told = decoded_on(S390X)
    assert (told["byteorder"], told["wrong"]["independent"]) == ("big", [])


def test_golden_vectors_decode_to_the_same_bits_on_a_big_endian_machine() -> None:
    assert decoded_on(S390X)["wrong"]["ours"] == []
