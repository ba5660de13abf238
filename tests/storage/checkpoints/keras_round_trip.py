"""Save a trained model of Keras or variables of TensorFlow, and restore them: `KIND BUCKET ENDPOINT`."""

import os
import sys

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from storage.checkpoints import Repository, RunWriter, Tensor
from storage.objects import Access, Bucket


def flat(tree: dict[str, object], below: str = "") -> dict[str, np.ndarray]:
    """Arrays by path."""
    found: dict[str, np.ndarray] = {}
    for name, value in tree.items():
        path = f"{below}/{name}" if below else name
        found |= flat(value, path) if isinstance(value, dict) else {path: np.asarray(value)}
    return found


def nested(arrays: dict[str, np.ndarray]) -> dict[str, object]:
    """The tree that `flat` was given."""
    root: dict[str, object] = {}
    for path, array in arrays.items():
        *above, name = path.split("/")
        at = root
        for key in above:
            at = at.setdefault(key, {})  # type: ignore[assignment]
        at[name] = array
    return root


def keras_model(seed: int):  # type: ignore[no-untyped-def]
    import keras

    keras.utils.clear_session()  # names begin anew, as in another process
    keras.utils.set_random_seed(seed)
    layers = [keras.Input((6, 3)), keras.layers.LSTM(8, name="lstm"), keras.layers.Dense(1, name="dense")]
    model = keras.Sequential(layers, name="model")
    model.compile(keras.optimizers.Adam(name="adam"), "mse")
    model.fit(np.ones((8, 6, 3)), np.ones((8, 1)), epochs=2, verbose=0)
    return model


def through(bucket: Bucket, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    repository = Repository.create(bucket, "keras/")
    tensors = {name: Tensor.from_numpy(array) for name, array in arrays.items()}
    RunWriter.create(repository, "run", "a").save(tensors, {}, step=1)
    restored = repository.restore("run").tensors
    return {name: tensor.to_numpy() for name, tensor in restored.items()}


def main() -> None:
    kind, name, endpoint = sys.argv[1:]
    bucket = Bucket(name, Access(endpoint_url=endpoint))  # keys: of the environment
    if kind == "keras":
        state = flat(keras_model(1).get_state_tree(value_format="numpy_array"))
        other = keras_model(2)
        other.set_state_tree(nested(through(bucket, state)))
        again = flat(other.get_state_tree(value_format="numpy_array"))
    else:
        import tensorflow as tf

        drawn = tf.random.normal((30, 20), seed=1)
        dtypes = (tf.float32, tf.bfloat16, tf.float64)
        variables = {dtype.name: tf.Variable(tf.cast(drawn, dtype)) for dtype in dtypes}
        state = {key: variable.numpy() for key, variable in variables.items()}
        again = {key: tf.constant(array).numpy() for key, array in through(bucket, state).items()}
    assert again.keys() == state.keys(), again.keys() ^ state.keys()
    for key, array in state.items():
        assert (array.dtype, array.tobytes()) == (again[key].dtype, again[key].tobytes()), key
    print("same")


main()
