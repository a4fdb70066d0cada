"""Which networks are exported together."""

from __future__ import annotations

from dataclasses import replace

import pytest

from charrnn import Mixture, Vocab
from charrnn.checkpoint.trained import Trained
from charrnn.errors import ConfigError, ExportError
from charrnn.export.facts import facts
from charrnn.export.networks import networks_of
from tests.reference.drawn import SYMBOLS, drawn_mixture, drawn_network


def test_one_network_or_those_of_one_run() -> None:
    network, three = drawn_network(), drawn_mixture(3)
    assert list(networks_of(network)) == [network]
    assert networks_of(three) is three
    assert list(networks_of([*three])) == [*three]
    with pytest.raises(ConfigError, match="`trained` must be a Trained or several, not Model"):
        networks_of(network.model)  # type: ignore[arg-type]


OTHERS = {
    "settings": drawn_network(hidden=12),
    "vocabulary": drawn_network(vocab=Vocab(tuple(reversed(SYMBOLS)))),
    "start states": drawn_network(starts=2),
}


@pytest.mark.parametrize("what", OTHERS)
def test_networks_of_different_runs_are_refused_by_what_differs(what: str) -> None:
    networks: list[Trained] = [drawn_network(), drawn_network(), OTHERS[what]]
    with pytest.raises(ExportError, match=f"network 3 differs from the first one in its {what}"):
        networks_of(networks)


def test_weights_have_to_be_equal() -> None:
    networks = [*drawn_mixture(2)]
    assert len(networks_of(Mixture(networks, [0.5, 0.5]))) == 2
    with pytest.raises(ExportError, match="leave the `weights` out"):
        networks_of(Mixture(networks, [0.7, 0.3]))


def test_what_a_page_tells_of_several() -> None:
    networks = drawn_mixture(2)
    unmeasured = replace(networks[1], origin=replace(networks[1].origin, loss=None))
    about = facts([networks[0], unmeasured], "net", precision="int8")
    assert about["summary"].startswith("2 networks, each lstm 2 x 11, ")
    assert about["loss"] is None and about["losses"] == [1.75, None]
    assert (about["steps"], about["epochs"]) == (240, 5.0)
    alone = facts(networks[0], "net", precision="int8")
    assert alone["summary"] == networks[0].model.summary and alone["loss"] == 1.75
