"""wandb, tensorboard and trackio beside qtui's own log, for those who want them.

What they write lies in the run's folder; their keys come from the environment or from their own
login. Whatever is missing is said before the model is loaded, not after an hour of training.
"""

from __future__ import annotations

import netrc
import os
from collections.abc import MutableMapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from qtui.errors import ImpossibleError
from qtui.runs.folder import Run

PROJECT = "qtui"


def set_up(
    report_to: Sequence[str], run: Run, environment: MutableMapping[str, str] = os.environ
) -> None:
    """Check that each tracker can work, and tell it where to write.

    What the user has set in `environment` wins. A resumed run goes on under the same id.

    Raises:
        ImpossibleError: a package or a key is missing.
    """
    for name in report_to:
        if find_spec(name) is None:
            raise ImpossibleError(
                f"training.report_to names {name}, which is not installed",
                remedy=f"pip install 'qtui[{name}]', or take {name} out of training.report_to",
            )
    if "wandb" in report_to:
        _require_wandb_key(environment)
        environment.setdefault("WANDB_DIR", str(run.path))
        environment.setdefault("WANDB_PROJECT", PROJECT)
        environment.setdefault("WANDB_RUN_ID", run.id)
        environment.setdefault("WANDB_RESUME", "allow")
        environment.setdefault("WANDB_SILENT", "true")
    if "tensorboard" in report_to:
        environment.setdefault("TENSORBOARD_LOGGING_DIR", str(run.path / "tensorboard"))
    if "trackio" in report_to:
        environment.setdefault("TRACKIO_DIR", str(run.path / "trackio"))


def _require_wandb_key(environment: MutableMapping[str, str]) -> None:
    """wandb asks for a key on the terminal, which a worker has not."""
    offline = environment.get("WANDB_MODE") in ("offline", "disabled", "dryrun")
    if offline or environment.get("WANDB_API_KEY") or _logged_in(environment):
        return
    raise ImpossibleError(
        "training.report_to names wandb, but there is no key for it",
        remedy="wandb login, or export WANDB_API_KEY=…; WANDB_MODE=offline writes to the run's "
        "folder only",
    )


def _logged_in(environment: MutableMapping[str, str]) -> bool:
    """Whether `wandb login` left a key where it leaves it."""
    path = Path(environment.get("NETRC", "~/.netrc")).expanduser()
    host = environment.get("WANDB_BASE_URL", "https://api.wandb.ai").split("://")[-1].rstrip("/")
    try:
        return netrc.netrc(str(path)).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False
