"""States in files of other tools, told apart by how they begin, not by what they are called."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lstm.checkpoints.torch_file import read_torch_file
from storage.checkpoints.errors import FileTrouble
from storage.checkpoints.tensor import Tensor
from storage.checkpoints.transfer.safetensors_file import open_safetensors

_ZIP = b"PK\x03\x04"
_PICKLE = b"\x80\x02"
"""Begins what `torch.save` wrote before PyTorch 1.6."""


@contextmanager
def open_state(path: Path) -> Iterator[tuple[dict[str, Tensor], dict[str, Any]]]:
    """Tensors and meta of a file of safetensors or of `torch.save`; to be used within the `with` block.

    Raises:
        NotSafetensors, NotWeights, NotStorable: it holds what is no state.
        FileTrouble: it cannot be read, or is of neither kind.
    """
    try:
        with path.open("rb") as file:
            begins = file.read(9)
    except OSError as error:
        raise FileTrouble(f"{path} cannot be read: {error.strerror or error}") from error
    if begins.startswith(_ZIP) or begins.startswith(_PICKLE):
        yield read_torch_file(path)
    elif begins[8:] == b"{":
        with open_safetensors(path) as opened:
            yield opened
    else:
        raise FileTrouble(f"{path} is neither safetensors nor a file of torch.save")
