"""The head on a CPU gives TRL's numbers, scores only what is trained, and is what a run uses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.train

CASES = [
    pytest.param({}, id="plain"),
    pytest.param({"bias": True}, id="bias"),
    pytest.param({"softcap": 3.0}, id="softcap"),
    pytest.param({"scale": 0.25}, id="scale"),
    pytest.param({"temperature": 0.7}, id="temperature"),
    pytest.param({"bias": True, "softcap": 2.0, "scale": 1.5, "temperature": 1.3}, id="all"),
]


def scored(head: Any, case: dict[str, Any], positions: int) -> list[Any]:
    """Log-probabilities from `head`, and the gradients of what it was given."""
    import torch

    generator = torch.Generator().manual_seed(5)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator).requires_grad_()

    hidden, weight, bias = random(positions, 16), random(50, 16), random(50)
    targets = torch.randint(50, (positions,), generator=generator)
    slope = torch.randn(positions, generator=generator)
    log_probs = head.apply(
        hidden,
        weight,
        bias if case.get("bias") else None,
        targets,
        case.get("temperature", 1.0),
        32,
        case.get("softcap"),
        case.get("scale", 1.0),
        ("log_probs",),
    )[0]
    log_probs.backward(slope)
    used = (hidden, weight, bias) if case.get("bias") else (hidden, weight)
    return [log_probs.detach(), *(tensor.grad for tensor in used)]


@pytest.mark.parametrize(("positions", "kept"), [(1, 10**9), (7, 10**9), (7, 0), (2500, 0)])
@pytest.mark.parametrize("case", CASES)
def test_numbers_and_gradients_are_those_of_trl(
    case: dict[str, Any], positions: int, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trl.kernels.chunked_logprob import ChunkedLogProbFunction

    from qtui.stages.training import cpu_head
    from qtui.stages.training.cpu_head import CHUNK, ChunkedLogProbs

    assert CHUNK < 2500  # so that more than one chunk is among the cases
    monkeypatch.setattr(cpu_head, "KEPT", kept)
    ours = scored(ChunkedLogProbs, case, positions)
    theirs = scored(ChunkedLogProbFunction, case, positions)
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert float((one - other).norm() / other.norm()) < 1e-5


def test_other_outputs_are_left_to_trl() -> None:
    """Auxiliary losses and metrics ask for more than log-probabilities."""
    import torch

    from qtui.stages.training.cpu_head import ChunkedLogProbs

    generator = torch.Generator().manual_seed(6)
    hidden = torch.randn(4, 16, generator=generator)
    weight = torch.randn(50, 16, generator=generator)
    targets = torch.tensor([1, 2, 3, 4])
    _, entropy, *_ = ChunkedLogProbs.apply(
        hidden, weight, None, targets, 1.0, 32, None, 1.0, ("log_probs", "entropy")
    )
    exact = torch.distributions.Categorical(logits=hidden @ weight.T).entropy()
    assert entropy is not None
    assert torch.allclose(entropy, exact, atol=1e-5)


def trainer_and_counts(base: Path, folder: Path) -> tuple[Any, list[int]]:
    """A trainer, and how many positions each call of its head scores."""
    import trl.trainer.utils as trl_utils

    from tests.stages.training.harness import build
    from tests.stages.training.test_right import config

    trainer = build(base, folder, config(base))
    head = trl_utils._ChunkedLogProbFunction
    positions: list[int] = []

    class Counting:
        @staticmethod
        def apply(hidden: Any, *rest: Any) -> Any:
            positions.append(len(hidden))
            return head.apply(hidden, *rest)

    trl_utils._ChunkedLogProbFunction = Counting
    return trainer, positions


@pytest.fixture(autouse=True)
def _head_as_before() -> Any:
    import trl.trainer.utils as trl_utils

    before = trl_utils._ChunkedLogProbFunction, trl_utils._use_triton
    yield
    trl_utils._ChunkedLogProbFunction, trl_utils._use_triton = before


def test_a_trainer_on_a_cpu_scores_the_trained_positions_with_it(
    micro_model: Path, tmp_path: Path
) -> None:
    import torch
    import trl.trainer.utils as trl_utils
    from trl.kernels import ChunkedLogProbFunction

    from qtui.stages.training.cpu_head import ChunkedLogProbs
    from tests.stages.training.harness import build
    from tests.stages.training.test_right import config

    trl_utils._ChunkedLogProbFunction = ChunkedLogProbFunction
    build(micro_model, tmp_path / "first", config(micro_model))
    assert trl_utils._ChunkedLogProbFunction is ChunkedLogProbs

    trainer, positions = trainer_and_counts(micro_model, tmp_path / "second")
    batch = next(iter(trainer.get_train_dataloader()))
    with torch.no_grad():
        trainer.compute_loss(trainer.model, dict(batch))
    assert positions == [int((batch["labels"] != -100).sum())]
    assert positions[0] < batch["labels"].numel()


def test_a_batch_of_prompts_alone_gives_a_zero_that_can_be_differentiated(
    micro_model: Path, tmp_path: Path
) -> None:
    import torch

    trainer, positions = trainer_and_counts(micro_model, tmp_path)
    batch = dict(next(iter(trainer.get_train_dataloader())))
    batch["labels"] = torch.full_like(batch["labels"], -100)
    loss = trainer.compute_loss(trainer.model, batch)
    loss.backward()
    assert float(loss) == 0
    assert positions == [0]
    gradients = [p.grad for p in trainer.model.parameters() if p.grad is not None]
    assert gradients
    assert all(float(gradient.abs().max()) == 0 for gradient in gradients)
