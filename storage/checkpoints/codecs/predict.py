"""Chunks as what is left beside a prediction from other chunks.

The residual is the difference in the order of values, so that a prediction that is off by an ulp costs one
bit, whatever the exponent. Its context is an exponent that the decoder knows and that tells how many ulps to
expect. Source of the formulas: one step of AdamW as PyTorch 2.13's fused CPU kernel computes it, operation by
operation (aten/src/ATen/native/cpu/FusedAdamKernel.cpp).
"""

from collections.abc import Callable

import numpy as np

from storage.checkpoints.codecs.arithmetic import Floats, predicted
from storage.checkpoints.codecs.bits import exponents, words
from storage.checkpoints.codecs.classes import pack, unpack
from storage.checkpoints.codecs.codec import Scalars
from storage.checkpoints.codecs.loops import Bytes, Words, little
from storage.checkpoints.tensor import Buffer


class Residual:
    """What is left beside a prediction."""

    format = 2

    def __init__(
        self, bases: int, scalars: int, formula: Callable[..., Floats] | None, *, context: int
    ) -> None:
        """`formula` takes bases, then scalars; None: the first base. `context`: whose exponent tells."""
        self.bases, self.scalars = bases, scalars
        self._formula, self._context = formula, context

    def encode(self, raw: Buffer, dtype: str, bases: tuple[Buffer, ...], scalars: Scalars) -> bytes:
        """See `Codec`."""
        prediction, contexts = self._predict(dtype, bases, scalars)
        return pack(words(raw, dtype), prediction, contexts, dtype)

    def decode(
        self, stored: Buffer, dtype: str, into: Bytes, bases: tuple[Buffer, ...], scalars: Scalars
    ) -> None:
        """See `Codec`."""
        prediction, contexts = self._predict(dtype, bases, scalars)
        unpack(stored, prediction, contexts, little(into, prediction.itemsize), dtype)

    def _predict(self, dtype: str, bases: tuple[Buffer, ...], scalars: Scalars) -> tuple[Words, Bytes]:
        known = tuple(words(base, dtype) for base in bases)
        contexts = exponents(known[self._context], dtype)
        if self._formula is None:
            return known[0], contexts
        return predicted(dtype, known, scalars, self._formula), contexts


def decayed(v: Floats, m: Floats, decay: Floats) -> Floats:
    """Adam's second moment some steps later, without the gradients in between; `m` is context only."""
    return v * decay


def second_moment(
    v: Floats, m: Floats, m_new: Floats, beta1: Floats, rest1: Floats, beta2: Floats, rest2: Floats
) -> Floats:
    """Adam's second moment one step later: the gradient follows from the first moments; `rest` = 1 − β."""
    gradient = (m_new - m * beta1) / rest1
    after: Floats = v * beta2 + (gradient * gradient) * rest2
    return after


def adam(
    w: Floats,
    m_new: Floats,
    v_new: Floats,
    kept: Floats,
    step_size: Floats,
    correction: Floats,
    epsilon: Floats,
) -> Floats:
    """A weight under AdamW: kept = 1 − lr·decay, step_size = lr ÷ (1 − β₁ᵗ), correction = √(1 − β₂ᵗ)."""
    after: Floats = w * kept - (step_size * m_new) / (np.sqrt(v_new) / correction + epsilon)
    return after
