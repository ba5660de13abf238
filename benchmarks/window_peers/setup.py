"""Peers that come from PyPI live in an environment of their own below `.bench/windows`.

It sees the project's packages, PyTorch above all, and puts before them what a peer wants in another version.
"""

import subprocess
import sys
import venv
from importlib.metadata import version
from pathlib import Path

FOLDER = Path(__file__).parents[2] / ".bench" / "windows"
PYTHON = FOLDER / "bin" / "python"
PACKAGES = {
    "huggingface": "datasets",
    "darts": "darts",
    "neuralforecast": "neuralforecast",
    "pytorch_forecasting": "pytorch-forecasting",
    "gluonts": "gluonts",
    "mosaicml_streaming": "mosaicml-streaming",
}


def install() -> None:
    """Install what can be installed; say what cannot, and why."""
    venv.create(FOLDER, with_pip=False, clear=True)
    own = [path for path in sys.path if path.endswith("site-packages")]
    site = FOLDER / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
    (site / "project.pth").write_text("\n".join(own) + "\n")
    pins = FOLDER / "pins.txt"
    pins.write_text(f"torch=={version('torch')}\n")
    command = [str(PYTHON), "-m", "pip", "install", "--quiet", "--prefer-binary", "-c", str(pins)]
    for package in PACKAGES.values():
        done = subprocess.run([*command, package], capture_output=True, text=True, check=False)
        print(package, "is there" if not done.returncode else done.stderr.strip()[-300:], flush=True)
