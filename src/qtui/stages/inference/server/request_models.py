"""What may be asked: the bodies of `/v1/chat/completions` and `/v1/completions`.

OpenAI's names and ranges, and vLLM's for sampling beyond them. Three kinds of fields: those that
an answer follows; those that can change no answer here and are taken without effect, because
clients send them; and those that would change it but are not implemented, which are refused unless
they have the value that changes nothing. Anything else is refused: a setting that is read by
nothing would be a lie.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from qtui.stages.inference.engine import Sampling

MAX_DEPTH = 64
"""Levels to which lists and objects may lie in one another."""

MOST_VALUES = 100_000
"""Values in a body, keys counted. Looking at a million would hold up everybody for a second."""

MOST_FIELDS = 200
"""Fields of a request: each that is not known costs as much as a hundred that are."""

MAX_STOPS = 16
COMPLETION_TOKENS = 16
"""`max_tokens` of a plain completion that does not say; OpenAI's default."""

UNSUPPORTED = frozenset(
    {
        "n",
        "best_of",
        "logprobs",
        "top_logprobs",
        "logit_bias",
        "presence_penalty",
        "frequency_penalty",
        "parallel_tool_calls",
        "tool_choice",
        "echo",
        "suffix",
        "modalities",
    }
)
"""Fields that would change the answer but are not implemented."""

Zero = Annotated[float, Field(ge=0, le=0, allow_inf_nan=False)]
Stop = Annotated[str, Field(min_length=1, max_length=1000)]


class _Body(BaseModel):
    model_config = ConfigDict(
        use_attribute_docstrings=True, strict=True, extra="forbid", frozen=True
    )


class StreamOptions(_Body):
    """How an answer is streamed."""

    include_usage: bool | None = None
    """Send one more chunk at the end with the numbers of tokens."""
    include_obfuscation: bool | None = None
    """Taken without effect."""


class TextFormat(_Body):
    """Plain text."""

    type: Literal["text"]


class JsonObject(_Body):
    """Any JSON object."""

    type: Literal["json_object"]


class JsonSchema(_Body):
    """A JSON Schema by which the answer is constrained."""

    model_config = ConfigDict(
        use_attribute_docstrings=True, extra="ignore", serialize_by_alias=True
    )

    name: str = ""
    description: str | None = None
    schema_: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None
    """The answer always follows the schema, whatever stands here."""


class JsonSchemaFormat(_Body):
    """JSON of a given schema."""

    type: Literal["json_schema"]
    json_schema: JsonSchema


ResponseFormat = Annotated[TextFormat | JsonObject | JsonSchemaFormat, Field(discriminator="type")]


class TextPart(_Body):
    """A part of a message's content."""

    type: Literal["text"]
    text: str


class Message(BaseModel):
    """One turn of a conversation. Fields that no chat template reads are passed over."""

    model_config = ConfigDict(
        use_attribute_docstrings=True,
        strict=True,
        extra="ignore",
        frozen=True,
        json_schema_extra={
            "anyOf": [
                {"required": ["content"], "properties": {"content": {"type": ["string", "array"]}}},
                {
                    "required": ["tool_calls"],
                    "properties": {"tool_calls": {"type": "array", "minItems": 1}},
                },
            ]
        },
    )

    role: Literal["system", "developer", "user", "assistant", "tool"]
    """`developer` is what OpenAI calls `system` by now."""
    content: str | Annotated[list[TextPart], Field(fail_fast=True)] | None = None
    name: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _only_text(cls, value: Any) -> Any:
        parts = value.get("content") if isinstance(value, dict) else None
        for part in parts if isinstance(parts, list) else ():
            kind = part.get("type") if isinstance(part, dict) else None
            if isinstance(kind, str) and kind != "text":
                raise PydanticCustomError(
                    "unsupported_content",
                    "content of type {kind} cannot be read here, only text",
                    {"kind": repr(kind[:40])},
                )
        return value

    @model_validator(mode="after")
    def _says_something(self) -> Message:
        if self.content is None and not self.tool_calls:
            raise PydanticCustomError("missing_content", "the message has no content")
        return self

    def for_template(self) -> dict[str, Any]:
        """The message as chat templates expect it."""
        content = self.content
        if not isinstance(content, str):
            content = "".join(part.text for part in content or ())
        role = "system" if self.role == "developer" else self.role
        rest = self.model_dump(exclude={"role", "content"}, exclude_none=True)
        return {"role": role, "content": content, **rest}


class Function(BaseModel):
    """A function that the model may be told of."""

    model_config = ConfigDict(
        use_attribute_docstrings=True, strict=True, extra="allow", frozen=True
    )

    name: Annotated[str, Field(min_length=1, max_length=256)]
    description: str | None = None
    parameters: dict[str, Any] | None = None


class Tool(BaseModel):
    """A tool, as the chat template shows it to the model."""

    model_config = ConfigDict(
        use_attribute_docstrings=True, strict=True, extra="allow", frozen=True
    )

    type: Literal["function"]
    function: Function


class _Request(_Body):
    """What both kinds of request have."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"properties": {"stream_options": {"type": "null"}}},
                {"required": ["stream"], "properties": {"stream": {"const": True}}},
            ]
        }
    )

    model: Annotated[str, Field(min_length=1, max_length=512)]
    """One of `/v1/models`, or a run of the server's workspace with the same base: `RUN`,
    `RUN@STEP`."""
    max_tokens: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    """Longest answer."""
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = None
    """0 is greedy; 1 unless said."""
    top_p: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] | None = None
    top_k: Annotated[int, Field(ge=-1, le=2**31 - 1)] | None = None
    """0 or -1: all."""
    min_p: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    repetition_penalty: Annotated[float, Field(gt=0, le=10, allow_inf_nan=False)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), le=2**63 - 1)] | None = None
    """The same seed draws alike, so the same request has the same answer, unless other requests
    beside it change how numbers are rounded; most of that shows in 16 bits."""
    stop: Stop | Annotated[list[Stop], Field(max_length=MAX_STOPS)] | None = None
    """Texts before which the answer ends."""
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    response_format: ResponseFormat | None = None
    ignore_eos: bool | None = None
    """Go on past the end that the model sees."""
    skip_special_tokens: bool | None = None
    """False: the answer's text has its special tokens in it."""
    return_prompt: bool | None = None
    """Give back, as `prompt`, the prompt as the model sees it."""

    user: str | None = None
    """Taken without effect, as are the next three."""
    metadata: dict[str, Any] | None = None
    store: bool | None = None
    service_tier: str | None = None

    n: Literal[1] | None = None
    """Several answers to one request are not supported."""
    logit_bias: Annotated[dict[str, Any], Field(max_length=0)] | None = None
    presence_penalty: Zero | None = None
    frequency_penalty: Zero | None = None

    @model_validator(mode="before")
    @classmethod
    def _sound(cls, value: Any) -> Any:
        check_values(value)
        if isinstance(value, dict) and len(value) > MOST_FIELDS:
            raise PydanticCustomError(
                "too_complex", "the request has more than {most} fields", {"most": MOST_FIELDS}
            )
        return value

    @model_validator(mode="after")
    def _options_of_a_stream(self) -> _Request:
        if self.stream_options is not None and not self.stream:
            raise PydanticCustomError(
                "stream_options", "stream_options are allowed only where stream is true"
            )
        return self

    def sampling(self, max_tokens: int | None) -> Sampling:
        """How the answer is drawn, with `Sampling`'s own defaults for what was not said."""
        stop = (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())
        given = {
            "max_tokens": max_tokens,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "top_k": None if self.top_k is None else max(self.top_k, 0),
            "min_p": self.min_p,
            "repetition_penalty": self.repetition_penalty,
            "seed": self.seed,
            "json_schema": _schema(self.response_format),
            "ignore_eos": self.ignore_eos,
            "skip_special_tokens": self.skip_special_tokens,
        }
        said: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
        return Sampling(stop=stop, **said)


class ChatRequest(_Request):
    """A conversation that the model is to go on with."""

    messages: Annotated[list[Message], Field(min_length=1, max_length=10_000, fail_fast=True)]
    max_completion_tokens: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    """OpenAI's newer name of `max_tokens`; comes before it."""
    tools: Annotated[list[Tool], Field(fail_fast=True)] | None = None
    """Shown to the model by its chat template; calls come back as the text that it writes."""
    tool_choice: Literal["auto", "none"] | None = None
    """none: the model is not told of the tools."""
    continue_final_message: bool | None = None
    """The last message is the beginning of the answer."""
    safety_identifier: str | None = None
    """Taken without effect, as is the next."""
    prompt_cache_key: str | None = None

    logprobs: Literal[False] | None = None
    top_logprobs: Literal[0] | None = None
    parallel_tool_calls: Literal[True] | None = None
    modalities: Annotated[list[Literal["text"]], Field(max_length=1)] | None = None

    @property
    def answer_tokens(self) -> int | None:
        """Longest answer that is wanted."""
        return self.max_completion_tokens or self.max_tokens


class CompletionRequest(_Request):
    """A text that the model is to go on with."""

    prompt: str | Annotated[list[str], Field(min_length=1, max_length=1)]
    """One text; several, and token ids, are not supported."""
    best_of: Literal[1] | None = None
    echo: Literal[False] | None = None
    logprobs: None = None
    suffix: Annotated[str, Field(max_length=0)] | None = None

    @property
    def text(self) -> str:
        """The prompt."""
        return self.prompt if isinstance(self.prompt, str) else self.prompt[0]

    @property
    def answer_tokens(self) -> int:
        """Longest answer that is wanted."""
        return self.max_tokens or COMPLETION_TOKENS


def _schema(wanted: TextFormat | JsonObject | JsonSchemaFormat | None) -> dict[str, Any] | None:
    if isinstance(wanted, JsonSchemaFormat):
        return wanted.json_schema.schema_
    return {} if isinstance(wanted, JsonObject) else None


def check_values(value: Any) -> None:
    """Refuse what would trip or hold up whoever walks it: deep nesting, values without number,
    halves of surrogate pairs."""
    level, depth, count = [value], 0, 0
    while level:
        count += len(level)
        if count > MOST_VALUES:
            raise PydanticCustomError(
                "too_complex", "the request has more than {most} values", {"most": MOST_VALUES}
            )
        if depth > MAX_DEPTH:
            raise PydanticCustomError(
                "too_deep", "lists and objects lie more than {most} deep", {"most": MAX_DEPTH}
            )
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below += item.keys()
                below += item.values()
            elif isinstance(item, list):
                below += item
            elif isinstance(item, str) and not item.isascii():
                _encodable(item)
        level, depth = below, depth + 1


def _encodable(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise PydanticCustomError(
            "bad_unicode", "a text has half a surrogate pair in it, which is no character"
        ) from None
