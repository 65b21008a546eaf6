"""The run file's models: one class a section, one field a setting.

Keys are those that people of this field write by hand; every other key has the name of the
TRL, PEFT, transformers or bitsandbytes argument it sets. A field's docstring is its help text in
the form, in `--help`, in the JSON Schema and in the docs: there is no second copy. Models are
frozen and strict (a number in quotes is a text, true is not 1), so that a file means one thing.
Settings that do not go together are refused by `FineTuneConfig`: see `conflicts`.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from qtui.config.conflicts import conflicts

ALLOWED = "x-allowed"
"""Key in the JSON Schema: what a text must look like, in words."""

Device = Annotated[
    str,
    Field(
        pattern=r"^(auto|cpu|cuda|cuda:\d+)$",
        json_schema_extra={ALLOWED: "auto, cpu, cuda or cuda:N"},
    ),
]
Text = Annotated[str, Field(min_length=1)]
Column = Annotated[
    str,
    Field(
        pattern=r"^(prompt|completion|input|system|messages|text|chosen|rejected|label|tools)=.+$",
        json_schema_extra={ALLOWED: "role=column, such as prompt=question"},
    ),
]
Language = Annotated[
    str,
    Field(
        pattern=r"^[a-z]{2,3}(-[A-Za-z]{2,8})?$",
        json_schema_extra={ALLOWED: "language codes, such as en or zh"},
    ),
]
RowKey = Annotated[
    str,
    Field(
        pattern=r"^[0-9a-f]{16}$",
        json_schema_extra={ALLOWED: "row keys of 16 hexadecimal digits"},
    ),
]
InputType = Literal[
    "auto",
    "json",
    "jsonl",
    "csv",
    "tsv",
    "parquet",
    "pdf",
    "docx",
    "html",
    "md",
    "txt",
    "dataset",
]
RowFormat = Literal["auto", "messages", "alpaca", "sharegpt", "text", "preference", "kto"]
Weight = Annotated[float, Field(gt=0)]
Method = Literal["qlora", "lora", "full"]


class Section(BaseModel):
    """Frozen, strict, unknown keys refused, docstrings become descriptions."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        use_attribute_docstrings=True,
        allow_inf_nan=False,
        protected_namespaces=(),
    )


class ModelConfig(Section):
    """Which model, how its weights are held, and what the adapter looks like."""

    model_name: Text = "builtin:tiny"
    """Hub id, local folder or `builtin:tiny`."""

    revision: Text | None = None
    """Hub branch, tag or commit; none means the repository's default."""

    trust_remote_code: bool = False
    """Run Python code that comes with the model. Only for repositories you have read."""

    attn_implementation: (
        Literal["eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention"] | None
    ) = None
    """Attention kernel; none: sdpa, row by row where rows are not padded. A kernel other than
    flash_attention builds a mask over the whole batch, so that padding_free: auto means false."""

    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    """Type of all weights that are not quantised. auto: bfloat16 where the device has it."""

    use_qlora: bool = True
    """Hold the base model in 4 bits (NF4) and train a LoRA adapter on top."""

    full_finetuning: bool = False
    """Train every weight of the model instead of an adapter; needs use_qlora: false."""

    bnb_4bit_quant_type: Literal["nf4", "fp4"] = "nf4"
    """4-bit code book. NF4 suits weights that are normally distributed, as almost all are."""

    bnb_4bit_use_double_quant: bool = True
    """Quantise the scales as well: saves about 0.37 bit a parameter at no measurable loss."""

    bnb_4bit_compute_dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    """Type in which 4-bit weights are multiplied. auto: the same as dtype."""

    lora_rank: int = Field(default=32, ge=1, le=4096)
    """Rank of the adapter's matrices: more can hold more, and costs memory in proportion."""

    lora_alpha: float = Field(default=64.0, gt=0)
    """Scale of the adapter: its output is multiplied by alpha / rank."""

    lora_dropout: float = Field(default=0.05, ge=0, lt=1)
    """Share of the adapter's inputs dropped while training."""

    target_modules: Literal["all-linear"] | list[Text] = "all-linear"
    """Layers that get an adapter: all-linear (all but the head), or a list of names."""

    use_rslora: bool = False
    """Scale by alpha / sqrt(rank), which keeps high ranks stable."""

    use_dora: bool = False
    """Train the weights' magnitudes too (DoRA): a little better at low rank, slower."""

    init_lora_weights: Literal["default", "gaussian", "orthogonal"] = "default"
    """How the adapter's matrices start; each way leaves the model as it is at first."""

    @property
    def method(self) -> Method:
        """qlora, lora or full."""
        if self.full_finetuning:
            return "full"
        return "qlora" if self.use_qlora else "lora"


class DataConfig(Section):
    """What the model learns from."""

    input_path: Text | list[Text] = "builtin:camara"
    """File, folder, pattern such as `data/**/*.pdf`, list of these, hub data set id or
    `builtin:camara`."""

    input_type: InputType = "auto"
    """How input_path is read. auto: each file by its content and its name. dataset: through the
    datasets library (hub id or saved folder)."""

    row_format: RowFormat = "auto"
    """Shape of a row; auto recognises each row by its keys."""

    columns: list[Column] = []
    """Which column holds what, where keys are not recognised: a list of role=column with the roles
    prompt, completion, input, system, messages, text, chosen, rejected, label and tools."""

    preference_rows: Literal["refuse", "chosen", "keep"] = "refuse"
    """Rows with a better and a worse answer. refuse: they are errors. chosen: learn from the better
    answer. keep: prepare them as pairs, for preference training."""

    split: Text = "train"
    """Split of a hub data set to train on."""

    dataset_config: Text | None = None
    """Configuration (subset) of a hub data set."""

    validation_path: Text | None = None
    """File to evaluate on; none takes validation_split out of the training rows."""

    validation_split: float = Field(default=0.05, ge=0, lt=1)
    """Share of rows held out for evaluation when there is no validation_path. 0: no evaluation."""

    test_path: Text | None = None
    """File that is kept for the evaluation after training; none takes test_split."""

    test_split: float = Field(default=0.0, ge=0, lt=1)
    """Share of rows kept for the evaluation after training when there is no test_path."""

    split_by: Literal["auto", "row", "document", "group"] = "auto"
    """What never stands on two sides of a split: equal rows, pieces of one document, or rows with
    the same value of group_by. auto: documents by document, other rows by row."""

    group_by: Text | None = None
    """Column whose value says which rows belong together, for split_by: group."""

    max_samples: int | None = Field(default=None, ge=1)
    """Use only this many rows, the first ones, copies not counted; with weights or
    max_rows_per_source so many of the mixture. None uses all."""

    weights: list[Weight] = []
    """Mix the entries of input_path in these proportions, one number each; rows of the too large
    ones are left out at random. Empty: all rows of all."""

    max_rows_per_source: int | None = Field(default=None, ge=1)
    """Use at most this many rows of each entry of input_path, chosen at random; none: all."""

    max_bad_rows: float = Field(default=0.02, ge=0, le=1)
    """Share of unreadable rows above which the run refuses to start."""

    splitter: Literal["recursive", "character", "token"] = "recursive"
    """How documents are cut into rows: at paragraphs, then sentences, then words (recursive); at
    blank lines, where pieces become short enough that way (character); or as recursive, but
    measured in tokens of the model (token)."""

    chunk_size: int = Field(default=2000, ge=20)
    """Longest piece of a document: in characters, or in tokens with splitter: token."""

    chunk_overlap: int = Field(default=200, ge=0)
    """How much of a piece is repeated at the start of the next one."""

    document_seconds: float = Field(default=120.0, gt=0)
    """Longest that reading one document may take; one that takes longer is left out and named."""

    document_memory_mb: int = Field(default=1024, ge=256)
    """Memory that reading one document may take, in MiB. One that wants more is left out and
    named."""

    normalize_unicode: Literal["none", "NFC", "NFKC"] = "NFC"
    """Write equal characters as equal bytes. NFKC also folds ligatures and full-width forms."""

    normalize_whitespace: bool = True
    """Trim the ends of texts and lines, unify line ends, and keep at most two line breaks in a row;
    text in code fences keeps its indentation and blank lines."""

    remove_boilerplate: bool = True
    """Remove what repeats on the pages of a document (headers, footers, page numbers), and join
    words that were hyphenated at line ends."""

    on_duplicate: Literal["keep", "drop", "fail"] = "drop"
    """Rows that say the same as an earlier one, but for white space."""

    on_near_duplicate: Literal["keep", "drop", "fail"] = "keep"
    """Rows that differ from an earlier one in few words."""

    near_duplicate_threshold: float = Field(default=0.8, ge=0.3, le=1)
    """Jaccard similarity of three-word pieces from which two rows are near duplicates."""

    on_pii: Literal["keep", "mask", "drop", "fail"] = "keep"
    """Rows with personal data or secrets. mask: each becomes a placeholder such as [EMAIL]."""

    pii_kinds: list[Literal["email", "phone", "card", "iban", "ssn", "ip", "secret"]] = [
        "email",
        "phone",
        "card",
        "iban",
        "ssn",
        "ip",
        "secret",
    ]
    """What counts as personal data; secret: keys and tokens."""

    languages: list[Language] = []
    """Languages that rows should be in, as ISO 639 codes such as en, de, zh; empty: any."""

    on_language: Literal["keep", "drop", "fail"] = "keep"
    """Rows in another language than `languages` says."""

    on_role_order: Literal["keep", "drop", "fail"] = "keep"
    """Conversations whose turns do not alternate, or begin with an answer."""

    on_repetition: Literal["keep", "drop", "fail"] = "keep"
    """Rows in which the same words repeat over and over."""

    on_mojibake: Literal["keep", "fix", "drop", "fail"] = "keep"
    """Rows with text that was decoded wrongly, such as cafÃ© for café. fix: repair it."""

    on_control_characters: Literal["keep", "remove", "drop", "fail"] = "remove"
    """Rows with invisible control characters."""

    on_truncated_answer: Literal["keep", "drop", "fail"] = "keep"
    """Rows whose answer stops in the middle of a sentence or a code block."""

    on_overlong: Literal["cut", "drop", "fail"] = "cut"
    """Rows longer than max_seq_length."""

    on_leakage: Literal["keep", "drop", "fail"] = "drop"
    """Training rows that also stand among the held-out rows, or nearly so."""

    drop_rows: list[RowKey] = []
    """Rows to leave out, by the key that the Data screen shows."""

    keep_rows: list[RowKey] = []
    """Rows to keep whatever the settings on findings say, by the key that the Data screen shows."""

    system_prompt: str | None = None
    """Put before every conversation that has no system message of its own."""

    chat_template: Text | None = None
    """Instead of the model's own chat template: alpaca, chatml, or a Jinja file."""

    augment_share: float = Field(default=0.0, ge=0, le=0.9)
    """Share of the training rows that may be variations: copies of a row with its instruction said
    differently. 0: none."""

    augment_templates: list[Text] = []
    """How an instruction is said differently, each with {instruction} in it; empty: a built-in
    list."""

    output_path: Text | None = None
    """Folder that also receives the prepared rows as files; the run folder always has them."""

    output_format: Literal["jsonl", "parquet"] = "jsonl"
    """Form of the files in output_path."""

    dataset_num_proc: int | None = Field(default=None, ge=1, le=64)
    """Processes that prepare the rows; none: one for each core, at most 8."""


class TrainingConfig(Section):
    """How it learns."""

    num_epochs: float = Field(default=3.0, gt=0)
    """Times that the data is gone through."""

    max_steps: int | None = Field(default=None, ge=1)
    """Optimiser steps; overrides num_epochs."""

    batch_size: int = Field(default=4, ge=1)
    """Rows in memory at once (per device)."""

    gradient_accumulation_steps: int = Field(default=4, ge=1)
    """Batches added up before a step: the effective batch is batch_size times this."""

    learning_rate: float = Field(default=2e-4, gt=0, le=1)
    """Peak step size. LoRA wants about ten times what full fine-tuning does: 1e-4 to 5e-4."""

    lr_scheduler_type: Literal[
        "linear",
        "cosine",
        "constant",
        "constant_with_warmup",
        "cosine_with_restarts",
        "polynomial",
        "inverse_sqrt",
    ] = "cosine"
    """How the learning rate falls after the warm-up."""

    warmup_steps: float = Field(default=0.03, ge=0)
    """Steps until the learning rate is at its peak; below 1 a share of all steps."""

    optim: Literal[
        "auto",
        "adamw_torch",
        "adamw_torch_fused",
        "adamw_8bit",
        "paged_adamw_8bit",
        "paged_adamw_32bit",
        "adafactor",
        "sgd",
    ] = "auto"
    """Optimiser. auto: paged 8-bit AdamW on a GPU, fused AdamW on a CPU."""

    weight_decay: float = Field(default=0.0, ge=0)
    """Pull of the trained weights towards zero."""

    max_grad_norm: float = Field(default=1.0, ge=0)
    """Gradients longer than this are scaled down to it. 0: never."""

    max_seq_length: int = Field(default=2048, ge=8)
    """Tokens after which a row is cut. Memory for activations grows in proportion."""

    packing: bool = False
    """Fill every sequence with several short rows; they do not see each other."""

    padding_free: bool | Literal["auto"] = "auto"
    """Lay the rows of a batch end to end instead of padding them to one length; they do not see
    each other. auto: wherever the model can keep them apart, which the run checks at its start."""

    train_sampling_strategy: Literal["auto", "group_by_length", "random", "sequential"] = "auto"
    """Order of rows. group_by_length batches rows of like length: far less padding. auto: random,
    but group_by_length where rows are padded."""

    assistant_only_loss: bool = True
    """Learn from the assistant's words only, not from the prompts."""

    loss_type: Literal["nll", "dft"] = "nll"
    """nll: cross-entropy. dft: weighted by the model's own confidence (arXiv 2508.05629)."""

    gradient_checkpointing: bool | Literal["auto"] = "auto"
    """Recompute activations instead of keeping them. auto: only when they would not fit."""

    neftune_noise_alpha: float | None = Field(default=None, gt=0)
    """Noise on the embeddings while training (NEFTune); 5 is usual. It gets weaker as rows get
    longer, so padding_free: auto means false; with packing it is the packed length that counts."""

    seed: int = Field(default=42, ge=0, le=2**32 - 1)
    """Everything random starts here: two runs with one seed are equal."""

    device: Device = "auto"
    """auto, cpu, cuda or cuda:N. auto: the GPU with most free memory, else the CPU."""

    dataloader_num_workers: int = Field(default=0, ge=0, le=64)
    """Processes that collate batches; rows are tokenised beforehand, so 0 is usually best."""

    logging_steps: int = Field(default=1, ge=1)
    """Steps between two lines of metrics."""

    eval_steps: int | None = Field(default=None, ge=1)
    """Steps between two evaluations; none: ten times in the run and at its end."""

    eval_batch_size: int | None = Field(default=None, ge=1)
    """Rows at once in an evaluation; none: as batch_size."""

    save_steps: int | None = Field(default=None, ge=1)
    """Steps between two checkpoints; none: ten times in the run and at its end."""

    save_total_limit: int = Field(default=3, ge=1)
    """Checkpoints kept; the best one by eval loss is always among them."""

    load_best_model_at_end: bool = False
    """The adapter is the checkpoint with the lowest eval loss, not the last one."""

    early_stopping_patience: int | None = Field(default=None, ge=1)
    """End after this many evaluations without a better eval loss; none: never."""

    early_stopping_threshold: float = Field(default=0.0, ge=0)
    """How much lower the eval loss must be to count as better."""

    report_to: list[Literal["wandb", "tensorboard", "trackio"]] = []
    """Also send metrics to these; their keys come from the environment."""

    run_name: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,60}$",
        json_schema_extra={
            ALLOWED: "up to 61 letters, digits, dots, dashes and underscores, "
            "the first a letter or digit"
        },
    )
    """Name of the run; none picks one at random."""

    output_dir: Text | None = None
    """Folder that also receives the finished adapter; the run folder always has it."""


class EvaluationConfig(Section):
    """What is looked at while training."""

    num_samples: int = Field(default=2, ge=0, le=32)
    """Held-out prompts that the model answers at each evaluation."""

    sample_max_new_tokens: int = Field(default=128, ge=1, le=4096)
    """Longest sample answer, in tokens."""


class FineTuneConfig(Section):
    """A run file."""

    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()

    @model_validator(mode="after")
    def _refuse_conflicts(self) -> Self:
        found = conflicts(self)
        if found:
            raise PydanticCustomError(
                "conflict",
                "{sentences}",
                {
                    "sentences": "; ".join(f"{c.keys[0]}: {c.sentence}" for c in found),
                    "conflicts": found,
                },
            )
        return self
