"""States of NumPy, JAX, Keras and TensorFlow come back bit for bit, through arrays alone."""

import os
import re
import subprocess
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from storage.checkpoints import AdamHint, Repository, RunWriter, Tensor
from storage.objects import Bucket

PAGE = Path(__file__).parents[3] / "docs" / "checkpoints-anywhere.md"


def needs(module: str):  # type: ignore[no-untyped-def]
    """Skip the test where a framework is absent."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the framework's own parts, while it is imported
        return pytest.importorskip(module, reason=f"{module} is not installed")


def round_trip(bucket: Bucket, state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Saved by one repository, restored by another."""
    tensors = {name: Tensor.from_numpy(array) for name, array in state.items()}
    RunWriter.create(Repository.create(bucket, "any/"), "run", "a").save(tensors, {}, step=1)
    restored = Repository.open(bucket, "any/").restore("run")
    return {name: tensor.to_numpy() for name, tensor in restored.tensors.items()}


def same(first: np.ndarray, second: np.ndarray) -> bool:
    kind = (first.dtype, first.shape) == (second.dtype, second.shape)
    return kind and first.tobytes() == second.tobytes()


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros(3, [("a", "f4"), ("b", ">i2")]), "fields a, b"),
        (np.array([1, None], object), "dtype 'object'"),
        (np.array(["text"]), "dtype '<U4'"),
        (np.zeros(2, np.longdouble), "dtype 'float128'"),
        (np.zeros(2, "datetime64[s]"), r"dtype 'datetime64\[s\]'"),
    ],
    ids=str,
)
def test_what_is_no_array_of_numbers_is_refused_in_words(array: np.ndarray, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Tensor.from_numpy(array)


@pytest.mark.parametrize("dtype", ["bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_dtypes_of_ml_dtypes_come_back_bit_for_bit(bucket: Bucket, dtype: str) -> None:
    kind = np.dtype(getattr(needs("ml_dtypes"), dtype))
    every = (
        np.arange(2 ** (8 * kind.itemsize)).astype(f"u{kind.itemsize}").view(kind)
    )  # NaN of any payload too
    state = {"every": every, "turned": every.reshape(2, -1).T[::2], "scalar": every[3], "empty": every[:0]}
    restored = round_trip(bucket, {name: np.asarray(array) for name, array in state.items()})
    assert all(same(restored[name], np.asarray(array)) for name, array in state.items())


def test_a_training_state_of_jax_comes_back_and_its_adam_is_predicted(bucket: Bucket) -> None:
    jax = needs("jax")
    jnp, tree = jax.numpy, jax.tree_util
    first = jax.random.normal(jax.random.key(0), (300, 200))
    state = {"params": {"w": first, "half": [first.astype(jnp.bfloat16), first.astype(jnp.float8_e4m3fn)]}}
    state |= {"m": jnp.zeros_like(first), "v": jnp.zeros_like(first)}
    writer = RunWriter.create(Repository.create(bucket, "any/"), "run", "a")
    for step in range(1, 4):
        gradient = jax.random.normal(jax.random.key(step), first.shape)
        state["m"] = 0.9 * state["m"] + 0.1 * gradient
        state["v"] = 0.999 * state["v"] + 0.001 * gradient * gradient
        state["params"]["w"] -= 0.001 * state["m"] / (jnp.sqrt(state["v"]) + 1e-8)
        leaves, shape = tree.tree_flatten_with_path(state)
        named = {tree.keystr(path, simple=True, separator="/"): np.asarray(leaf) for path, leaf in leaves}
        hint = AdamHint(
            weight="params/w", first_moment="m", second_moment="v", learning_rate=0.001,
            beta1=0.9, beta2=0.999, epsilon=1e-8, weight_decay=0.0, step=step,
        )  # fmt: skip
        tensors = {name: Tensor.from_numpy(array) for name, array in named.items()}
        commit = writer.save(tensors, {}, step=step, hints=[hint])
    restored = Repository.open(bucket, "any/").restore("run").tensors
    back = tree.tree_unflatten(shape, [jnp.asarray(restored[name].to_numpy()) for name in named])
    pairs = zip(tree.tree_leaves(back), tree.tree_leaves(state), strict=True)
    assert all(same(np.asarray(one), np.asarray(other)) for one, other in pairs)
    assert commit.new_bytes < 0.6 * 3 * first.nbytes  # the second moment and the unchanged parts store little


@pytest.mark.parametrize("what", ["keras", "tensorflow"])
def test_a_state_of_keras_or_tensorflow_comes_back(bucket: Bucket, what: str) -> None:
    if find_spec(what) is None:
        pytest.skip(f"{what} is not installed")
    script = Path(__file__).with_name("keras_round_trip.py")  # in a process of its own: it keeps threads
    access = bucket.access
    keys = {"AWS_ACCESS_KEY_ID": access.access_key, "AWS_SECRET_ACCESS_KEY": access.secret_key}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", script, what, bucket.name, access.endpoint_url],
        env=os.environ | {name: str(key) for name, key in keys.items()},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split()[-1] == "same"


def test_the_example_of_the_page_runs(bucket: Bucket) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[:1]
    state = {"w": np.arange(12.0).reshape(3, 4), "step": np.int64(3)}
    names = {"bucket": bucket, "state": state}
    exec(block, names)
    assert all(same(names["again"][name], np.asarray(array)) for name, array in state.items())
