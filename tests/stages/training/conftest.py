"""The micro model, made once a session."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def micro_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.stages.training.micro import make_model

    return make_model(tmp_path_factory.mktemp("micro") / "model")


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Matrices this small are multiplied faster by one thread than by two that wait."""
    import torch

    torch.set_num_threads(1)
