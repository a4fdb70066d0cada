"""Which networks can be exported together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from charrnn.checkpoint.mixture import Mixture
from charrnn.checkpoint.trained import Trained
from charrnn.errors import ExportError


def networks_of(trained: Trained | Sequence[Trained]) -> Mixture:
    """The networks to export as one, whose probabilities are averaged: one, or those of one run.

    Errors as for `Mixture`. `ExportError` for networks that differ in more than their numbers: in
    settings, vocabulary or first symbols; and for weights that are not equal.
    """
    networks = Mixture.of(trained)
    first, *others = networks
    for number, other in enumerate(others, 2):
        differences = {
            "settings": other.model.config != first.model.config,
            "vocabulary": other.vocab != first.vocab,
            "start states": not np.array_equal(other.opening.ids, first.opening.ids),
        }
        for what, differs in differences.items():
            if differs:
                raise ExportError(
                    f"network {number} differs from the first one in its {what}: only the "
                    "networks of one run can be exported together; export each alone"
                )
    if len(set(networks.weights)) > 1:
        raise ExportError(
            "these networks have different weights: only equal ones can be exported; leave the "
            "`weights` out"
        )
    return networks
