"""Peers that come from PyPI live in folders of their own below `.bench/windows`, one for each.

A peer runs in the project's Python, with PyTorch, NumPy and Arrow of the project; its folder comes before the
project's packages, so that it gets what it wants in another version. Only what it imports here is installed.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from lstm.training.launch import ALLOCATOR

FOLDER = Path(__file__).parents[2] / ".bench" / "windows"
_LIGHTNINGS = (
    "lightning-utilities==0.15.3",
    "torchmetrics==1.9.0",
    "scipy==1.17.1",
    "tqdm==4.70.1",
)
PACKAGES = {
    "huggingface": (
        "datasets==5.2.0",
        "dill==0.4.1",
        "httpcore2==2.16.2",
        "httpx2==2.16.2",
        "huggingface_hub==2.4.0",
        "multiprocess==0.70.19",
        "tqdm==4.70.1",
        "truststore==0.10.5",
        "xxhash==4.1.0",
    ),
    "darts": ("darts==0.48.1", "tqdm==4.70.1"),
    "neuralforecast": (
        "neuralforecast==3.3.0",
        "coreforecast==0.0.20",
        "msgpack==1.2.4",
        "optuna==5.0.0",
        "protobuf==7.36.2",
        "pytorch-lightning==2.6.6",
        "ray==2.60.0",
        "utilsforecast==0.2.17",
        *_LIGHTNINGS,
    ),
    "pytorch_forecasting": (
        "pytorch-forecasting==1.8.0",
        "joblib==1.6.0",
        "lightning==2.6.6",
        "pandas==3.0.6",
        "scikit-base==1.0.2",
        "scikit-learn==1.9.1",
        "threadpoolctl==3.8.0",
        *_LIGHTNINGS,
    ),
    "gluonts": (
        "gluonts==0.17.0",
        "lightning==2.6.6",
        "pandas==2.3.3",
        "toolz==0.12.1",
        *_LIGHTNINGS,
    ),
    "mosaicml_streaming": (
        "mosaicml-streaming==0.10.0",
        "brotli==1.2.1",
        "cramjam==2.14.0",
        "filelock==3.20.3",
        "huggingface_hub==0.36.2",
        "pillow==13.0.0",
        "python-snappy==0.7.3",
        "tokenizers==0.22.2",
        "tqdm==4.70.1",
        "transformers==4.57.6",
        "xxhash==3.8.2",
        "zstd==1.5.7.2",
    ),
}


def install() -> None:
    """Install what can be installed; say what cannot, and why."""
    for peer, packages in PACKAGES.items():
        shutil.rmtree(FOLDER / peer, ignore_errors=True)
        (FOLDER / peer).mkdir(parents=True)
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile"]
        command += ["--only-binary", ":all:", "--target", str(FOLDER / peer), *packages]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        _failure(peer).write_text(why := done.stderr.strip()[-300:] if done.returncode else "")
        print(peer, why or "is there", flush=True)


def _folder_of(peer: str) -> str:
    return "gluonts" if peer.startswith("gluonts") else peer


def missing(peer: str) -> str | None:
    """Why a peer cannot run, if it cannot."""
    peer = _folder_of(peer)
    if peer not in PACKAGES:
        return None
    if not _failure(peer).exists():
        return "not set up; run with --setup"
    return _failure(peer).read_text() or None


def environment(peer: str, *, allocator: bool) -> dict[str, str]:
    """Variables of a process in which the peer can be imported; `allocator`: set as training sets it."""
    kept = {name: value for name, value in os.environ.items() if allocator or name not in ALLOCATOR}
    return {**kept, "PYTHONPATH": str(FOLDER / _folder_of(peer)), "TQDM_DISABLE": "1"}


def _failure(peer: str) -> Path:
    return FOLDER / f"{peer}.failure"
