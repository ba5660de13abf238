"""What a saver may tell of an optimiser, so that its state is predicted better. Never needed to decode."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class AdamHint:
    """One parameter under Adam or AdamW, by the names of its tensors in the state.

    The numbers are those of the optimiser's last step before the save, or, where a schedule has moved on
    since, of its next one: a step between two saves is tried with what is told at either. Source of the
    names: Kingma & Ba, "Adam" (2015), algorithm 1; Loshchilov & Hutter, "Decoupled Weight Decay
    Regularization" (2019).
    """

    weight: str
    first_moment: str
    second_moment: str
    learning_rate: float
    beta1: float
    beta2: float
    epsilon: float
    weight_decay: float
    """Decoupled (AdamW); 0: none."""
    step: int
    """Updates of this parameter so far."""
