"""Events in sentences, in the order of a log."""

from __future__ import annotations

import pytest

from qtui.narration import Narrator, Sentence
from qtui.runs import events as ev


def told(*events: ev.AnyEvent) -> list[str]:
    narrator = Narrator()
    sentences = [narrator.tell(event) for event in events]
    return [s.prefix + s.text for s in sentences if s is not None]


def test_evaluations_are_held_against_the_best_so_far() -> None:
    losses = [1.5, 1.2, None, 1.4]
    events = [ev.MetricsEvent(step=n, values={"eval_loss": loss}) for n, loss in enumerate(losses)]
    assert told(*events) == [
        "step 0  eval loss 1.5",
        "step 1  eval loss 1.2",
        "step 2  eval loss is not a number",
        "step 3  eval loss 1.4 (best 1.2)",
    ]


def test_going_back_to_training_after_an_evaluation_is_not_news() -> None:
    train = ev.PhaseEvent(phase=ev.Phase.TRAINING)
    evaluate = ev.PhaseEvent(phase=ev.Phase.EVALUATING, detail="161 rows")
    assert told(train, evaluate, train, evaluate) == [
        "training",
        "evaluating: 161 rows",
        "evaluating: 161 rows",
    ]


@pytest.mark.parametrize(
    ("event", "tone", "text"),
    [
        (ev.LogEvent(level="warning", message="m"), "warning", "warning: m"),
        (ev.LogEvent(level="info", message="m"), "plain", "m"),
        (ev.AlertEvent(kind="k", message="hot"), "alert", "! hot"),
        (ev.FailedEvent(error="E", message="no"), "error", "failed: no"),
        (ev.FinishedEvent(status="completed", step=5), "good", "completed at step 5"),
        (ev.FinishedEvent(status="stopped"), "plain", "stopped"),
        (ev.ArtifactEvent(kind="adapter", path="adapter"), "plain", "adapter written: adapter"),
    ],
)
def test_the_tone_of_a_sentence(event: ev.AnyEvent, tone: str, text: str) -> None:
    sentence = Narrator().tell(event)
    assert isinstance(sentence, Sentence)
    assert (sentence.tone, sentence.prefix + sentence.text) == (tone, text)


def test_counts_curves_and_samples_are_no_sentences() -> None:
    assert not told(
        ev.LogEvent(level="debug", message="m"),
        ev.ProgressEvent(what="train", done=1),
        ev.MetricsEvent(step=1, values={"loss": 1.0}),
        ev.SampleEvent(step=1, prompt="p", output="o"),
    )
