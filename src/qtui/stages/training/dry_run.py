"""A run up to its first weight: what `qtui prepare-data` keeps and `qtui validate` looks at.

The base model's files, its tokenizer and every row are read exactly as training would read them;
no weight is loaded.
"""

from __future__ import annotations

from qtui.config.models import FineTuneConfig
from qtui.runs.events import ArtifactEvent, Scalar
from qtui.runs.folder import Run
from qtui.stages.control import Control
from qtui.stages.training.journal import Journal
from qtui.stages.training.model_rows import prepared_rows
from qtui.stages.training.models import load_tokenizer
from qtui.stages.training.sft import base_model


def dry_run(
    run: Run, config: FineTuneConfig, journal: Journal, control: Control
) -> dict[str, Scalar]:
    """Prepare the data of `config` in the run's folder and sum the report up."""
    path = base_model(config, journal, control)
    tokenizer = load_tokenizer(path, config.model)
    prepared = prepared_rows(run, config, path, tokenizer, journal, control)
    journal.log.write(ArtifactEvent(kind="dataset", path=run.data.name))
    report = prepared.report
    return {
        "train_rows": report.train_rows,
        "validation_rows": report.validation_rows,
        "tokens": report.tokens,
        "trained_share": report.trained_share,
        "rows_truncated": report.rows_truncated,
        "content_hash": report.content_hash,
    }
