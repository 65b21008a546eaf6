from __future__ import annotations

from pathlib import Path

import pytest

from qtui.config.load import load
from qtui.config.problems import ConfigError, Problem
from qtui.errors import EXIT_INPUT, InputError


def problems(
    path: Path | None, overrides: list[str] | None = None, environ: dict[str, str] | None = None
) -> list[Problem]:
    with pytest.raises(ConfigError) as caught:
        load(path, overrides=overrides or [], environ=environ or {})
    return caught.value.problems


def of_text(folder: Path, text: str | bytes) -> list[Problem]:
    path = folder / "run.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return problems(path)


def lines(found: list[Problem]) -> list[str]:
    return [str(problem).rpartition("/")[2] for problem in found]


def test_everything_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(
        "model:\n"
        "  lora_rnk: 3\n"
        "  use_qlora: maybe\n"
        "lora_alpha: 3\n"
        "training:\n"
        "  learning_rate: 5\n"
        "  early_stopping_patience: 3\n"
        "  lr: 1\n"
        "data:\n"
        "  validation_split: 0\n"
    )
    found = problems(
        path,
        ["training.optim=adamw", "typo", "model=3"],
        {"QTUI_TRAINING__LERNING_RATE": "1"},
    )
    optimisers = (
        "auto, adamw_torch, adamw_torch_fused, adamw_8bit, paged_adamw_8bit, paged_adamw_32bit, "
        "adafactor, sgd"
    )
    assert lines(found) == [
        "run.yaml:2: model.lora_rnk: unknown setting; did you mean lora_rank?",
        'run.yaml:3: model.use_qlora: must be true or false; given the text "maybe"',
        "run.yaml:4: lora_alpha: unknown setting; did you mean model.lora_alpha?",
        "run.yaml:6: training.learning_rate: must be a number, above 0 and at most 1; given 5",
        "run.yaml:7: training.early_stopping_patience: needs an eval loss; set "
        "data.validation_split above 0 or give data.validation_path",
        "run.yaml:8: training.lr: unknown setting; did you mean learning_rate?",
        "QTUI_TRAINING__LERNING_RATE: training.lerning_rate: unknown setting; "
        "did you mean learning_rate?",
        "--set: typo: write it as section.name=value, such as training.learning_rate=1e-4",
        "--set: model: is a section; set one of its settings, such as model.model_name",
        f'--set: training.optim: must be one of {optimisers}; given the text "adamw"; '
        "did you mean adamw_8bit?",
    ]
    assert found[0].column == 3


def test_it_is_an_input_error_with_a_way_out(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        load(tmp_path / "nothing.yaml", environ={})
    assert caught.value.exit_code == EXIT_INPUT
    assert "qtui init" in caught.value.remedy


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        ("training:\n\tseed: 1", 2, "a tab stands here"),
        ("training: seed: 1", 1, "': ' is not allowed here"),
        ("training:\n  seed: [1, 2", 2, "never closed"),
        ("data:\n  split: 'a\n\n\n", 2, "never closed"),
        ("training:\n    seed: 1\n  packing: true", 3, "indentation"),
        ("seed", 1, "must hold sections (model:, data:, training:, evaluation:)"),
        ("- a\n- b", 1, "must hold sections"),
        ("model: {}\n---\nmodel: {}", 2, "second document"),
        ("model:\n  dtype: @x", 2, "must be in quotes"),
        ("model:\n  dtype: *x", 2, "before any anchor"),
        ("model:\n  dtype: a\x07", 2, "control character (U+0007)"),
        ("model:\n  dtype: !!python/object:os.system x", 2, "tag"),
        ("model: !!python/object:os.system {}", 1, "tag"),
        ("model: !!set {dtype: }", 1, "tag"),
        ("model:\n  dtype: auto\n  lora_rank: 3\n  dtype: auto", 4, "given twice, first in line 2"),
        ("model: {}\nmodel: {}", 2, "given twice, first in line 1"),
        ("data:\n  input_path: !x [a]", 2, "the tag !x is not read"),
        ("data:\n  input_path: !x {}", 2, "the tag !x is not read"),
        ("a: &a {}\nmodel:\n  <<: *a", 3, "merge keys are not read"),
        ("model:\n  ? [a]\n  : 3", 2, "cannot be the name"),
        ("model: [a]", 1, "must be a section, its settings indented below; given the list [a]"),
        ("model: fast", 1, 'must be a section, its settings indented below; given the text "fast"'),
        ("trainin:\n  seed: 1", 1, "unknown section; did you mean training?"),
        ("moon:\n  seed: 1", 1, "unknown section; the sections are model, data"),
        ("model:\n  hf_token: hf_x", 2, "come from the environment"),
        ("training:\n  lora_rank: 1", 2, "did you mean model.lora_rank?"),
        ("training:\n  seed: 1e999", 2, "must be a whole number"),
        ("training:\n  learning_rate: .nan", 2, "must be a number"),
        ("training:\n  seed: " + "9" * 40, 2, "more digits"),
        ("training:\n  seed: " + "9" * 5000, 2, "number"),
        ("training:\n  seed: '1'", 2, "write it without quotes"),
        ("training:\n  seed: true", 2, "given true"),
        ("training:\n  seed:", 2, "given nothing"),
        ("training:\n  run_name: 2026", 2, "put it in quotes"),
        ("training:\n  packing: on", 2, "did you mean true?"),
        ("training:\n  batch_size: {}", 2, "given a section"),
        ("training:\n  report_to: wandb", 2, "did you mean [wandb]?"),
        ("training:\n  report_to:\n    - wandb\n    - wandbb", 4, "did you mean wandb?"),
        ("model:\n  target_modules: q_proj", 2, "did you mean [q_proj]?"),
        ("training:\n  lr_scheduler_type: Cosine", 2, "did you mean cosine?"),
        ('data:\n  split: "\\0"', 2, "NUL"),
        ('data:\n  split: "\\ud800"', 2, "half a character"),
        ('data:\n  split: ""', 2, "must be text, not empty"),
        ("preset: qlora-24", 1, "did you mean qlora-24gb?"),
        ("preset: [a]", 1, "there are quickstart"),
        ("model: {use_qlora: false}\ntraining: {device: gpu}", 2, "auto, cpu, cuda or cuda:N"),
        (b"model:\n  dtype: \xe9", 2, "byte 0xe9 is not UTF-8"),
    ],
)
def test_a_problem_has_its_line_and_a_sentence(
    tmp_path: Path, text: str | bytes, line: int, sentence: str
) -> None:
    found = of_text(tmp_path, text)
    assert [(p.line, sentence in p.sentence) for p in found if sentence in p.sentence] == [
        (line, True)
    ], lines(found)
    assert "hf_x" not in str(found)


@pytest.mark.parametrize(
    ("text", "line", "key", "sentence"),
    [
        ("model: {full_finetuning: true}", 1, "model.full_finetuning", "use_qlora: false"),
        ("preset: full\nmodel:\n  use_qlora: true", 3, "model.full_finetuning", "use_qlora: false"),
        ("preset: full\nmodel:\n  use_dora: true", 3, "model.use_dora", "adapter"),
        ("preset: full\nmodel:\n  use_rslora: true", 3, "model.use_rslora", "adapter"),
        (
            "model:\n  init_lora_weights: orthogonal\n  lora_rank: 7",
            2,
            "model.init_lora_weights",
            "even",
        ),
        ("model:\n  target_modules: []", 2, "model.target_modules", "empty"),
        ("model:\n  target_modules: [lm_head]", 2, "model.target_modules", "head"),
        ("data:\n  input_path: []", 2, "data.input_path", "empty list"),
        (
            "data: {validation_split: 0}\ntraining: {load_best_model_at_end: true}",
            2,
            "training.load_best_model_at_end",
            "eval loss",
        ),
    ],
)
def test_settings_that_contradict_each_other(
    tmp_path: Path, text: str, line: int, key: str, sentence: str
) -> None:
    [problem] = of_text(tmp_path, text)
    assert (problem.line, problem.key) == (line, key)
    assert sentence in problem.sentence


def test_a_contradiction_with_a_wrong_value_waits_until_that_is_mended(tmp_path: Path) -> None:
    [problem] = of_text(tmp_path, "model: {full_finetuning: true, use_qlora: flase}")
    assert problem.key == "model.use_qlora"


@pytest.mark.parametrize("value", ["a\0b", "caf\udce9.jsonl", '"a\\0b"'])
def test_half_texts_are_refused_from_flags_and_environment(value: str) -> None:
    for found in (
        problems(None, [f"data.input_path={value}"]),
        problems(None, environ={"QTUI_DATA__INPUT_PATH": value}),
    ):
        assert "NUL" in found[0].sentence


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "sft.yaml").touch()
    large = tmp_path / "large.yaml"
    large.write_bytes(b"# a comment\n" * 100_000)
    for path, sentence in (
        (tmp_path / "none.yaml", "no such file"),
        (tmp_path, "is a folder; it holds large.yaml, sft.yaml"),
        (large, "larger than 1 MB"),
        (tmp_path / "sft.yaml" / "x", "cannot be read (Not a directory)"),
        (tmp_path / ("n" * 300), "File name too long"),
        (Path("a\0b"), "no file name"),
        (Path("/dev/zero"), "larger than 1 MB"),
    ):
        [problem] = problems(path)
        assert sentence in problem.sentence


def test_bombs_are_refused_by_a_bound(tmp_path: Path) -> None:
    laughs = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    laughs += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    found = of_text(tmp_path, "\n".join([*laughs, "data:", "  input_path: *a11"]))
    assert any("aliases expand" in problem.sentence for problem in found)

    assert "nested more than" in of_text(tmp_path, "[" * 500_000)[0].sentence
    assert "nested more than" in of_text(tmp_path, "- " * 400_000)[0].sentence
    assert "values" in of_text(tmp_path, "a: 1\n" * 150_000)[0].sentence
    assert "contains itself" in of_text(tmp_path, "data:\n  input_path: &a [*a]")[0].sentence


def test_an_anchor_used_within_reason_is_fine(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("training: {save_steps: &n 50, eval_steps: *n}")
    assert load(path, environ={}).training.eval_steps == 50


def test_many_problems_are_counted_not_poured_out(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("model:\n" + "".join(f"  x{n}: 1\n" for n in range(60)))
    with pytest.raises(ConfigError) as caught:
        load(path, environ={})
    assert len(caught.value.problems) == 60
    assert caught.value.message.endswith("... and 10 more")


def test_foreign_text_is_shown_safely(tmp_path: Path) -> None:
    path = tmp_path / "run\x1b]0;x\x07.yaml"
    path.write_text('"mo\\e[31mdel": 1\ntraining: {optim: "\\e]52;c;x\\a\u202e[INST]"}')
    with pytest.raises(ConfigError) as caught:
        load(path, overrides=["\x1b[2J=1"], environ={"QTUI_A\x1b__B": "1"})
    assert len(caught.value.problems) == 4
    assert not set(str(caught.value)) & set("\x1b\x07\u202e")
    assert "[INST]" in str(caught.value)
