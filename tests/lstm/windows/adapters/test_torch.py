"""Tensors share the batch's memory, and a DataLoader with workers is refused in words."""

import multiprocessing
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from lstm.windows.adapters import as_numpy, as_torch
from lstm.windows.errors import WindowError


def test_tensors_are_the_batchs_own_memory(windows):
    with windows.stream(batch_size=7) as stream:
        batch = stream.batch(0, 0)
        stream.batch = lambda epoch, index: batch
        tensor = as_torch(stream).batch(0, 0)["values"]
    assert tensor.data_ptr() == batch.values.ctypes.data or torch.accelerator.is_available()


def test_the_length_and_epochs_are_the_streams(windows):
    with windows.stream(batch_size=7) as stream:
        items = as_torch(stream, ["epoch", "index"])
        assert len(items) == len(DataLoader(items, batch_size=None)) == 6
        items.set_epoch(4)
        assert [(int(it["epoch"]), int(it["index"])) for it in items] == [(4, n) for n in range(6)]


def test_a_loader_with_workers_is_refused_with_what_works(windows):
    context = multiprocessing.get_context("spawn")  # a stream's threads do not survive a fork
    with windows.stream(batch_size=7) as stream:
        loader = DataLoader(as_torch(stream), batch_size=None, num_workers=1, multiprocessing_context=context)
        with pytest.raises(WindowError, match="num_workers=0"):
            next(iter(loader))


def test_a_forked_worker_is_refused_too(windows, monkeypatch):
    monkeypatch.setattr("lstm.windows.adapters.torch_dataset.get_worker_info", lambda: object())
    with windows.stream(batch_size=7) as stream, pytest.raises(WindowError, match="num_workers=0"):
        iter(as_torch(stream))


@pytest.mark.parametrize("fields", [[], ["value"], ["values", "entity"]])
def test_a_field_that_no_batch_has_is_refused(windows, fields):
    with windows.stream(batch_size=7) as stream, pytest.raises(WindowError, match="a batch has the fields"):
        as_numpy(stream, fields)


def test_a_batch_tells_whose_windows_it_holds(windows):
    with windows.stream(batch_size=7) as stream:
        batch = next(iter(stream))
        names = stream.entities(batch)
    assert len(names) == 7
    assert set(names) == {"a", "b"}
    firsts = batch.values[:, 0, 0]  # x counts rows: series b begins with 40
    expected = np.array([40 * (name == "b") for name in names]) + batch.starts
    assert firsts.tolist() == expected.tolist()


def test_the_cursor_behind_a_batch_is_the_one_after_taking_it(windows):
    with windows.stream(batch_size=7) as stream:
        for batch in stream:
            assert stream.state_after(batch.epoch, batch.index) == stream.state_dict()
        with pytest.raises(IndexError, match="no batch 6"):
            stream.state_after(0, 6)


def test_streams_and_adapters_import_no_framework():
    frameworks = "{'torch', 'jax', 'tensorflow', 'lightning'}"
    said = f"import sys, lstm.windows.adapters; print({frameworks} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
