"""How to train on from a network that has learnt another text (`Run.from_weights`): the rules.

Small steps, few passes and decay towards the first weights: what the new text does not contradict
is kept. Measured on texts of 20 and 100 KB, of three kinds, after plays.
"""

import math

PASSES = 8.0
"""Over the text: after more, the network overfits a short one, however small its steps."""
RATE = 0.1
"""Of the rate of a new network, times the root of the batch size (Malladi et al. 2022)."""
FORGETTING = 0.2
"""Share of the way back to the first weights that decay takes in a pass, at the peak of the rate.
"""
DROPOUT, INPUT_DROPOUT = 0.1, 0.05


def rate_factor_for(batch_size: int) -> float:
    """What the learning rate of a new network is multiplied by: 0.2 with 4 streams."""
    return min(1.0, RATE * math.sqrt(batch_size))


def decay_towards_start_for(rate: float, steps_an_epoch: int) -> float:
    """AdamW's decay towards the weights that a run started from: `FORGETTING` in a pass."""
    return round(FORGETTING / (rate * steps_an_epoch), 4)
