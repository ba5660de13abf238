"""What runs ahead in TensorFlow does not move the cursor of who uses the batches."""

import pytest

from lstm.windows.adapters import as_tensorflow

from .conftest import exact, needs


@pytest.fixture(autouse=True)
def tensorflow():
    return needs("tensorflow", "tensorflow")


def test_shapes_are_known_before_the_first_batch(windows):
    with windows.stream(batch_size=7) as stream:
        spec = as_tensorflow(stream, ["values", "times"]).element_spec
    assert spec["values"].shape.as_list() == [None, 6, 2]
    assert spec["times"].dtype.name == "int64"


def test_the_state_behind_a_used_batch_is_exact_though_tensorflow_ran_ahead(windows):
    fields = ["values", "epoch", "index"]
    with windows.stream(batch_size=7) as stream:
        everything = [exact(item) for item in as_tensorflow(stream, fields).as_numpy_iterator()]
    for used in range(1, 6):
        with windows.stream(batch_size=7) as stream:
            ahead = as_tensorflow(stream, fields).prefetch(3).as_numpy_iterator()
            items = [next(ahead) for _ in range(used)]
            state = stream.state_after(int(items[-1]["epoch"]), int(items[-1]["index"]))
            for _ in ahead:  # let TensorFlow's thread end before the stream does
                pass
        with windows.stream(batch_size=7) as stream:
            stream.load_state_dict(state)
            rest = [exact(item) for item in as_tensorflow(stream, fields).as_numpy_iterator()]
        assert rest == everything[used:]
