"""A stream as a `tf.data.Dataset`."""

from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow as tf
from numpy.typing import NDArray

from lstm.windows.adapters.items import check_fields, item_of
from lstm.windows.stream import WindowStream


def dataset_of(stream: WindowStream, fields: Sequence[str]) -> tf.data.Dataset:
    """Each iteration yields the rest of the stream's current epoch, as mappings of tensors.

    The stream's cursor counts what TensorFlow took, not what its user got: after `.prefetch(…)`, `.map(…)` in
    parallel or in Keras' `fit` these differ. Ask for the fields `epoch` and `index` there, and take
    `stream.state_after(epoch, index)` of the last batch that was used.
    """
    wanted = check_fields(fields)
    length, features = stream.plan.window.length, len(stream.columns)
    shapes: dict[str, tuple[list[int | None], Any]] = {
        "values": ([None, length, features], tf.float32),
        "times": ([None, length], tf.int64),
    }
    shapes |= dict.fromkeys(("series", "starts", "positions"), ([None], tf.int64))
    shapes |= dict.fromkeys(("epoch", "index", "size"), ([], tf.int64))
    for name in ("past", "known", "target"):
        shapes |= {name: ([None, None, None], tf.float32), f"{name}_ids": ([None, None, None], tf.int32)}
    shapes |= {"ids": ([None, length, None], tf.int32), "calendar": ([None, length, None], tf.float32)}
    shapes |= dict.fromkeys(("static", "level", "spread"), ([None, None], tf.float32))
    shapes["static_ids"] = ([None, None], tf.int32)
    signature = {name: tf.TensorSpec(*shapes[name]) for name in wanted}

    def items() -> Iterator[dict[str, NDArray[Any]]]:
        for batch in stream:
            yield item_of(batch, wanted)

    return tf.data.Dataset.from_generator(items, output_signature=signature)
