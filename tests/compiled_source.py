"""A library compiled from a source as it stands, or as if that were of another version."""

import subprocess
from pathlib import Path


def compiled(source: Path, version: int, change: int, folder: Path) -> Path:
    """The library `_<name>.so` of `<name>.c`, which tells `version` + `change`."""
    changed, library = folder / source.name, folder / f"_{source.stem}.so"
    text = source.read_text()
    assert f"return {version};" in text
    changed.write_text(text.replace(f"return {version};", f"return {version + change};"))
    subprocess.run(["cc", "-shared", "-fPIC", "-O0", changed, "-o", library], check=True)
    return library
