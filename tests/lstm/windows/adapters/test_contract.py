"""What every adapter keeps: the stream's own batches, and exactly the rest after a restore at any step."""

import json

import pytest
import torch
from torch.utils.data import DataLoader

from lstm.windows.adapters import as_jax, as_numpy, as_tensorflow, as_torch

from .conftest import FIELDS, exact, needs

EPOCHS = 2


class AdapterContract:
    """Promises of every adapter. Subclass and supply `adapted`, which gives something to iterate."""

    fields = FIELDS

    def adapted(self, stream):
        raise NotImplementedError

    def opened(self, windows):
        return windows.stream(batch_size=7, seed=3)

    def walked(self, windows, state=None):
        """Every item from a state to the end of the epochs, and the state behind each."""
        items, states = [], []
        with self.opened(windows) as stream:
            if state is not None:
                stream.load_state_dict(state)
            adapted = self.adapted(stream)
            for _ in range(EPOCHS - stream.state_dict()["epoch"]):
                for item in adapted:
                    items.append(exact(item))
                    states.append(json.loads(json.dumps(self.state_behind(stream, item))))
        return items, states

    def state_behind(self, stream, item):
        return stream.state_dict()

    def test_items_are_the_streams_batches(self, windows):
        items, _ = self.walked(windows)
        with self.opened(windows) as stream:
            batches = [batch for _ in range(EPOCHS) for batch in stream]
        assert len(items) == len(batches) == 12
        for item, batch in zip(items, batches, strict=True):
            assert item == self.expected(batch)

    def expected(self, batch):
        return exact({name: getattr(batch, name) for name in self.fields})

    def test_a_restore_at_every_step_yields_exactly_the_rest(self, windows):
        items, states = self.walked(windows)
        for step, state in enumerate(states, 1):
            assert self.walked(windows, state)[0] == items[step:]

    def test_a_cursor_is_some_hundred_bytes_of_json(self, windows):
        with self.opened(windows) as stream:
            assert len(json.dumps(stream.state_dict())) < 300


class TestNumpy(AdapterContract):
    def adapted(self, stream):
        return as_numpy(stream, self.fields)


class TestTorch(AdapterContract):
    def adapted(self, stream):
        return as_torch(stream, self.fields)


class TestTorchLoader(AdapterContract):
    def adapted(self, stream):
        return DataLoader(as_torch(stream, self.fields), batch_size=None)


class TestTensorflow(AdapterContract):
    @pytest.fixture(autouse=True)
    def _framework(self):
        needs("tensorflow", "tensorflow")

    def adapted(self, stream):
        return Again(as_tensorflow(stream, self.fields).as_numpy_iterator)

    def state_behind(self, stream, item):  # TensorFlow runs ahead of whoever iterates
        return stream.state_after(int(item["epoch"]), int(item["index"]))


class TestJax(AdapterContract):
    fields = ("values", "series", "starts", "positions", "epoch", "index", "size")  # times need 64 bits

    @pytest.fixture(autouse=True)
    def _framework(self):
        needs("jax", "jax")

    def adapted(self, stream):
        return as_jax(stream, self.fields)

    def expected(self, batch):
        whole = {name: torch.as_tensor(getattr(batch, name)) for name in self.fields}
        narrow = {name: it.to(torch.int32) if it.dtype == torch.int64 else it for name, it in whole.items()}
        return exact(narrow)


class Again:
    """Something that can be iterated several times, made by a function."""

    def __init__(self, make):
        self.make = make

    def __iter__(self):
        return self.make()
