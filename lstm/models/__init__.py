"""Models, one idea per file: how weights start, instance scaling, encoder, quantile head, forecaster."""

from lstm.models.encoder import Encoder
from lstm.models.forecaster import Forecaster
from lstm.models.initialise import initialise_lstm
from lstm.models.instance import InstanceScale
from lstm.models.quantiles import QuantileHead, check_levels, pinball
from lstm.models.shortcut import Shortcut

__all__ = [
    "Encoder",
    "Forecaster",
    "InstanceScale",
    "QuantileHead",
    "Shortcut",
    "check_levels",
    "initialise_lstm",
    "pinball",
]
