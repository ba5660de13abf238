"""Peers that come from PyPI live under `.bench/checkpoints`, apart from what the project itself needs."""

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parents[2] / ".bench" / "checkpoints"
_PACKAGES = (
    "zipnn==0.5.4",
    "safetensors==0.8.0",
    "s3torchconnector==1.5.0",
    "s3torchconnectorclient==1.5.0",
)
FSSPEC_FOLDER = FOLDER.with_name("fsspec")
"""Apart from the others: s3fs wants a botocore that is not ours."""
_FSSPEC = ("s3fs==2026.9.0",)
_COMMANDS = ("restic", "borg")


def install() -> None:
    """Install what comes from PyPI, and say what has to come from elsewhere."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(FOLDER)]
    subprocess.run([*command, *_PACKAGES], check=True)
    apart = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(FSSPEC_FOLDER)]
    subprocess.run([*apart, *_FSSPEC], check=True)
    print(f"from the system's packages (apt-get install restic borgbackup): {', '.join(_COMMANDS)}")


def importable() -> None:
    """Let what was installed be imported."""
    if FOLDER.is_dir() and str(FOLDER) not in sys.path:
        sys.path.append(str(FOLDER))
