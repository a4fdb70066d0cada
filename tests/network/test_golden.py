"""charrnn against PyTorch, by way of golden files that `benchmarks/torch_modules.py --write` made:
no torch is needed here.
"""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.reference import cells as reference_cells
from tests.reference.against_torch import (
    FOLDER,
    MODULES,
    OPTIMIZERS_TRIED,
    STEPS,
    Arrays,
    config_of,
    difference,
    module_answer,
    optimizer_answer,
    select,
)


@pytest.fixture(scope="module")
def modules() -> Arrays:
    return load_file(FOLDER / "modules.safetensors")


@pytest.fixture(scope="module")
def optimizers() -> Arrays:
    return load_file(FOLDER / "optimizers.safetensors")


@pytest.mark.parametrize("case", MODULES)
def test_losses_states_and_gradients_are_those_of_torch_nn(case: str, modules: Arrays) -> None:
    wanted = select(modules, f"{case}.answer.")
    found = module_answer(case, select(modules, f"{case}.problem."))
    assert set(found) == set(wanted), "every parameter has a gradient, under PyTorch's name"
    for name, array in wanted.items():
        assert found[name].shape == array.shape and np.abs(array).max() > 1e-4, name
        assert difference(found[name], array) < 2e-6, name


@pytest.mark.parametrize("case", MODULES)
def test_the_reference_of_the_cells_is_torch_nn(case: str, modules: Arrays) -> None:
    """Both in float64, so to far more digits."""
    problem, wanted = (select(modules, f"{case}.{part}.") for part in ("problem", "answer"))
    c = problem.get("c", np.zeros_like(problem["h"]))
    parameters, states = select(problem, "parameter."), list(zip(problem["h"], c, strict=True))
    loss, gradients, final = reference_cells.gradients(
        config_of(case), parameters, problem["x"], problem["y"], states
    )
    assert loss == pytest.approx(wanted["loss"][0], rel=1e-13)
    assert difference(np.stack([h for h, _ in final]), wanted["h"]) < 1e-13
    for name, gradient in gradients.items():
        assert difference(gradient, wanted[f"gradient.{name}"]) < 1e-12, name


@pytest.mark.parametrize("case", OPTIMIZERS_TRIED)
def test_fifty_steps_are_those_of_torch_optim(case: str, optimizers: Arrays) -> None:
    wanted = select(optimizers, f"{case}.")
    found = optimizer_answer(case, select(optimizers, "problem."))
    assert sorted(map(int, wanted)) == list(STEPS)
    for step in STEPS:
        assert difference(found[str(step)], wanted[str(step)]) < 2e-6, step


def test_the_files_hold_no_other_cases(modules: Arrays, optimizers: Arrays) -> None:
    assert {name.split(".")[0] for name in modules} == set(MODULES)
    assert {name.split(".")[0] for name in optimizers} == {"problem", *OPTIMIZERS_TRIED}
