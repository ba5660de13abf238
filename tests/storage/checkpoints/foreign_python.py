"""A Python of another architecture, from Debian's packages, run by QEMU's user mode. Nothing is installed.

apt resolves and checks the packages in a state of its own, below one folder; no root is needed.
"""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
MIRROR = "http://deb.debian.org/debian"
SUITE = "bookworm"  # its Python is the 3.11 that the project needs
PACKAGES = ("python3-numpy", "python3-zstandard")


class Unobtainable(Exception):
    """Why there is no such Python here."""


@dataclass(frozen=True)
class Architecture:
    debian: str
    qemu: str

    @property
    def libraries(self) -> str:
        return f"/usr/lib/{self.qemu}-linux-gnu"


ARM64, S390X = Architecture("arm64", "aarch64"), Architecture("s390x", "s390x")


def run_there(architecture: Architecture, script: Path, folder: Path) -> Any:
    """The JSON that a script prints. Raises Unobtainable; CalledProcessError: the script failed."""
    emulator = _emulator(architecture, folder)
    root = _unpacked(architecture.debian, PACKAGES, folder)
    places = ("python3.11", "python3.11/lib-dynload", "python3/dist-packages")
    path = [root / "usr" / "lib" / place for place in places]
    # apt would link these two when it installs them
    blas = ":".join(f"{architecture.libraries}/{name}" for name in ("blas", "lapack"))
    start = f"import runpy, sys; sys.path[:] = {[str(it) for it in path]}; "
    start += f"runpy.run_path({str(script)!r}, run_name='__main__')"
    command = [emulator, "-E", f"LD_LIBRARY_PATH={blas}", "-L", root, root / "usr/bin/python3.11"]
    done = subprocess.run([*command, "-I", "-S", "-B", "-c", start], stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def _emulator(architecture: Architecture, folder: Path) -> Path:
    for name in (f"qemu-{architecture.qemu}", f"qemu-{architecture.qemu}-static"):
        if found := shutil.which(name):
            return Path(found)
    if shutil.which("dpkg") is None:
        raise Unobtainable(f"neither {name} nor dpkg is here, with which to fetch it")
    host = subprocess.run(["dpkg", "--print-architecture"], stdout=subprocess.PIPE, text=True, check=True)
    unpacked = _unpacked(host.stdout.strip(), ("qemu-user-static",), folder / "qemu", alone=True)
    return unpacked / "usr/bin" / name


def _unpacked(debian: str, packages: tuple[str, ...], folder: Path, *, alone: bool = False) -> Path:
    """The packages with what they need (`alone`: without it), unpacked below one folder."""
    place = folder / debian
    root, archives = place / "root", place / "cache" / "archives"
    if root.exists():
        return root
    for program in ("apt-get", "dpkg-deb"):
        if shutil.which(program) is None:
            raise Unobtainable(f"{program} is not here: Debian's packages cannot be fetched")
    if not KEYRING.exists():
        raise Unobtainable(f"{KEYRING} is not here: Debian's packages cannot be checked")
    for needed in (archives / "partial", place / "state" / "lists" / "partial"):
        needed.mkdir(parents=True, exist_ok=True)
    (place / "status").touch()
    (place / "sources.list").write_text(f"deb [signed-by={KEYRING}] {MIRROR} {SUITE} main\n")
    options = {
        "APT::Architecture": debian,
        "APT::Architectures": debian,
        "APT::Sandbox::User": "",
        "Acquire::Languages": "none",
        "Acquire::Retries": "2",
        "Debug::NoLocking": "1",
        "Dir::Cache": place / "cache",
        "Dir::Etc::SourceList": place / "sources.list",
        "Dir::Etc::SourceParts": "/nonexistent",
        "Dir::State": place / "state",
        "Dir::State::status": place / "status",
    }
    apt = ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in options.items())]
    fetch = ["download"] if alone else ["install", "-y", "--no-install-recommends", "--download-only"]
    for command in ([*apt, "update"], [*apt, *fetch, *packages]):
        done = subprocess.run(
            command, cwd=archives, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        if done.returncode:
            raise Unobtainable(
                f"Debian's packages for {debian} cannot be fetched: {done.stdout.strip()[-300:]}"
            )
    partial = place / "partial"
    for archive in sorted(archives.glob("*.deb")):
        subprocess.run(["dpkg-deb", "-x", archive, partial], check=True)
    partial.rename(root)
    return root
