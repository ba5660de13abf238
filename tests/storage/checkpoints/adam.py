"""Adam in NumPy, as PyTorch's fused kernel computes it: states that follow each other, without torch."""

from collections.abc import Iterator

import numpy as np

from storage.checkpoints import AdamHint, Tensor

LEARNING_RATE, BETA1, BETA2, EPSILON, DECAY = 1e-3, 0.9, 0.999, 1e-8, 0.01
_f = np.float32


def states(
    steps: int, rows: int = 64, seed: int = 7
) -> Iterator[tuple[dict[str, Tensor], tuple[AdamHint, ...]]]:
    """The state after each step of training `w`, [rows, 64], on noisy gradients."""
    rng = np.random.default_rng(seed)
    w = rng.standard_normal((rows, 64)).astype(_f)
    m, v = np.zeros_like(w), np.zeros_like(w)
    for step in range(1, steps + 1):
        gradient = (w * _f(0.01) + rng.standard_normal(w.shape) * 0.01).astype(_f)
        m = m * _f(BETA1) + gradient * _f(1 - BETA1)
        v = v * _f(BETA2) + gradient * gradient * _f(1 - BETA2)
        size = _f(LEARNING_RATE / (1 - BETA1**step))
        correction = _f(np.sqrt(1 - BETA2**step))
        w = w * _f(1 - LEARNING_RATE * DECAY) - (size * m) / (np.sqrt(v) / correction + _f(EPSILON))
        tensors = {name: Tensor.from_numpy(value.copy()) for name, value in (("w", w), ("m", m), ("v", v))}
        hint = AdamHint(
            weight="w",
            first_moment="m",
            second_moment="v",
            learning_rate=LEARNING_RATE,
            beta1=BETA1,
            beta2=BETA2,
            epsilon=EPSILON,
            weight_decay=DECAY,
            step=step,
        )
        yield tensors, (hint,)
