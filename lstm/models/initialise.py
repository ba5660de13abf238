"""How an LSTM's weights start: the state is kept by default, and neither grows nor fades over many steps.

Sources: forget-gate bias 1, Jozefowicz et al., "An Empirical Exploration of Recurrent Network Architectures"
(2015); orthogonal recurrence, Saxe et al., "Exact solutions to the nonlinear dynamics of learning" (2014).
"""

import torch
from torch import nn

GATES = 4
"""Blocks of rows in an LSTM's weights, in PyTorch's order: input, forget, cell, output."""
_FORGET = 1


@torch.no_grad()
def initialise_lstm(lstm: nn.LSTM) -> None:
    """Set all weights of `lstm` in place, drawing from torch's current generator.

    Each gate's recurrent matrix is orthogonal, each gate's input matrix is Glorot-uniform, biases are 0
    except the forget gate's, which is 1 (PyTorch adds two biases: one of them carries it).
    """
    for name, weights in lstm.named_parameters():
        gates = weights.chunk(GATES)
        if name.startswith("weight_hh"):
            for gate in gates:
                nn.init.orthogonal_(gate)
        elif name.startswith("weight_ih"):
            for gate in gates:
                nn.init.xavier_uniform_(gate)
        else:
            weights.zero_()
            if name.startswith("bias_ih"):
                gates[_FORGET].fill_(1.0)
