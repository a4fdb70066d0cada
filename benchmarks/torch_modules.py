"""Losses and gradients of our cells beside torch.nn's, and steps of our optimisers beside
torch.optim's, on random problems.

PyTorch computes in float64 from float32 inputs, charrnn in float32; printed is the largest
difference of each quantity as a share of its largest element. Exit status 1 if one is above 2e-5.
`--write` keeps the problems and PyTorch's answers as the tests' golden files; `--seed` draws other
problems.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.reference import against_torch as shared

TOLERANCE = 2e-5


def module_of(case: str) -> torch.nn.Module:
    """embedding, module and decoder, in float64, for V symbols."""
    cell, activation = shared.MODULES[case]
    V, E, H, L, *_ = shared.SHAPE.values()
    if cell == "lstm":
        rnn: torch.nn.Module = torch.nn.LSTM(E, H, L)
    elif cell == "gru-after":
        rnn = torch.nn.GRU(E, H, L)
    else:
        rnn = torch.nn.RNN(E, H, L, nonlinearity=activation)
    parts = {"embedding": torch.nn.Embedding(V, E), "rnn": rnn, "decoder": torch.nn.Linear(H, V)}
    return torch.nn.ModuleDict(parts).double()


def is_trained(case: str, name: str) -> bool:
    """PyTorch's second bias is another first one, but for the GRU's candidate."""
    return "bias_hh" not in name or case == "gru-after"


def module_problem(case: str, seed: int) -> shared.Arrays:
    V, _, H, L, T, N = shared.SHAPE.values()
    rng = np.random.default_rng([seed, len(case)])
    x, y = rng.integers(V, size=(2, T, N)).astype(np.int32)
    problem = {"x": x, "y": y}
    problem["h"] = rng.uniform(-1, 1, (L, N, H)).astype(np.float32)
    if case == "lstm":
        problem["c"] = rng.normal(size=(L, N, H)).astype(np.float32)
    for name, parameter in module_of(case).named_parameters():
        if is_trained(case, name):
            array = rng.normal(scale=0.5, size=parameter.shape).astype(np.float32)
            if "bias_hh" in name:
                array[: 2 * H] = 0
            problem[f"parameter.{name}"] = array
    return problem


def torch_module_answer(case: str, problem: shared.Arrays) -> shared.Arrays:
    model, H = module_of(case), shared.SHAPE["H"]
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.zero_()
            if is_trained(case, name):
                parameter.copy_(torch.from_numpy(problem[f"parameter.{name}"]))
    start = tuple(torch.from_numpy(problem[k]).double() for k in ("h", "c") if k in problem)
    x, y = (torch.from_numpy(problem[k]).long() for k in ("x", "y"))
    outputs, end = model["rnn"](model["embedding"](x), start if len(start) == 2 else start[0])
    loss = torch.nn.functional.cross_entropy(model["decoder"](outputs).flatten(0, 1), y.flatten())
    loss.backward()
    answer = {"loss": np.array([loss.item()])}
    answer |= {
        k: part.detach().numpy()
        for k, part in zip("hc", end if len(start) == 2 else (end,), strict=False)
    }
    for name, parameter in model.named_parameters():
        if is_trained(case, name):
            gradient = parameter.grad.numpy().copy()
            if "bias_hh" in name:
                gradient[: 2 * H] = 0  # the first bias has it
            answer[f"gradient.{name}"] = gradient
    return answer


def torch_optimizer_answer(case: str, problem: shared.Arrays) -> shared.Arrays:
    tried = shared.OPTIMIZERS_TRIED[case]
    w = torch.nn.Parameter(torch.from_numpy(problem["start"].astype(np.float64)))
    optimizer = getattr(torch.optim, tried.torch_class)([w], **tried.torch_settings)
    answer = {}
    for step in range(1, max(shared.STEPS) + 1):
        w.grad = torch.from_numpy(shared.optimizer_gradient(problem, w.detach().numpy(), step))
        optimizer.step()
        if step in shared.STEPS:
            answer[str(step)] = w.detach().numpy().copy()
    return answer


def compare(title: str, ours: shared.Arrays, wanted: shared.Arrays) -> float:
    print(title)
    if set(ours) != set(wanted):
        print(f"  not the same quantities: {sorted(set(ours) ^ set(wanted))}")
        return np.inf
    shares = {name: shared.difference(ours[name], wanted[name]) for name in wanted}
    for name, share in shares.items():
        print(f"  {name:32} {share:.1e}")
    return max(shares.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the golden files of the tests")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    worst, modules = 0.0, {}
    for case in shared.MODULES:
        problem = module_problem(case, options.seed)
        answer = torch_module_answer(case, problem)
        modules |= {f"{case}.problem.{name}": array for name, array in problem.items()}
        modules |= {f"{case}.answer.{name}": array for name, array in answer.items()}
        if not options.write:
            worst = max(
                worst, compare(f"torch.nn, {case}", shared.module_answer(case, problem), answer)
            )
    problem = shared.optimizer_problem(options.seed)
    optimizers = {f"problem.{name}": array for name, array in problem.items()}
    for case in shared.OPTIMIZERS_TRIED:
        answer = torch_optimizer_answer(case, problem)
        optimizers |= {f"{case}.{name}": array for name, array in answer.items()}
        if not options.write:
            title = f"torch.optim, {case}, after steps"
            worst = max(worst, compare(title, shared.optimizer_answer(case, problem), answer))
    if options.write:
        for name, arrays in (("modules", modules), ("optimizers", optimizers)):
            arrays = {key: np.ascontiguousarray(array) for key, array in arrays.items()}
            save_file(arrays, shared.FOLDER / f"{name}.safetensors", {"torch": torch.__version__})
        return
    print(f"largest difference: {worst:.1e}")
    sys.exit(not worst < TOLERANCE)


if __name__ == "__main__":
    main()
