"""What a server is asked to be: frozen in the `run.json` of a run of kind `serve`.

Made by `qtui serve` and by the chat screen, read by the worker. No key is in it: that comes from
the environment (`KEY_VARIABLE`), where no run folder keeps it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from qtui.config.models import Device, Section, Text
from qtui.errors import InputError

KEY_VARIABLE = "QTUI_API_KEY"
"""Environment variable with the key that a server asks for and that a client sends."""

DEFAULT_PORT = 8000

GGUF = ".gguf"
"""How the names of llama.cpp's model files end."""

EngineName = Literal["transformers", "llama_cpp", "vllm"]
Quantization = Literal["nf4", "int8", "none"]
Positive = Annotated[int, Field(ge=1)]


class ServedModel(Section):
    """The base model, and how its weights are held."""

    model_name: Text
    """Hub id, local folder, `builtin:tiny` or a .gguf file."""

    revision: Text | None = None
    """Hub branch, tag or commit; none means the repository's default."""

    trust_remote_code: bool = False
    """Run Python code that comes with the model. Only for repositories you have read."""

    attn_implementation: (
        Literal["eager", "sdpa", "flash_attention_2", "flash_attention_3"] | None
    ) = None
    """Attention kernel; none: the best one that the model and this machine have."""

    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    """Type of all weights that are not quantised. auto: bfloat16 where the device has it."""

    quantization: Quantization = "nf4"
    """How the base is held: 4 bits as QLoRA trains on it, 8 bits, or as it was saved."""


class ServedAdapter(Section):
    """An adapter that is served beside the base, under a name of its own."""

    name: Text
    """What requests call it: a run's name, `name@400` for its checkpoint of step 400, or a
    folder's."""

    path: Text
    """Its folder, absolute or from the workspace."""


class ServeConfig(Section):
    """A server: what it serves, where it listens and what it allows."""

    model: ServedModel
    """The base model."""

    adapters: list[ServedAdapter] = Field(default_factory=list)
    """Adapters that are served from the start. Others of the workspace's runs with the same base
    are loaded when they are first asked for."""

    engine: Literal["auto", "transformers", "llama_cpp", "vllm"] = "auto"
    """What computes. auto: llama_cpp for a .gguf file, else transformers."""

    device: Device = "auto"
    """auto, cpu, cuda or cuda:N."""

    chat_template: Text | None = None
    """File with a Jinja chat template, or `chatml`; none: the model's own."""

    max_context: Positive | None = None
    """Longest prompt with its answer, in tokens; none: what the model knows."""

    host: Text = "127.0.0.1"
    """Address to listen on. Other than loopback needs a key."""

    port: int = Field(default=DEFAULT_PORT, ge=0, le=65535)
    """Port to listen on; 0 takes a free one."""

    socket: bool = False
    """Listen on a Unix socket that only this user can open, instead of host and port."""

    keyed: bool = False
    """Whether it was begun with a key, and so never serves without one."""

    allowed_hosts: list[Text] = Field(default_factory=list)
    """Host names by which it may be addressed, besides those of `host`."""

    allowed_origins: list[Text] = Field(default_factory=list)
    """Origins of web pages that may call it, such as https://pod-8000.proxy.example."""

    max_concurrent: Positive = 16
    """Requests that are answered at once."""

    max_queue: int = Field(default=64, ge=0)
    """Requests that may wait for a place; more are refused with 429."""

    max_body_bytes: Positive = 4 * 1024**2
    """Largest request."""

    max_prompt_tokens: Positive | None = None
    """Longest prompt; none: the context."""

    max_adapters: Positive = 8
    """Adapters held in memory; the one unused for longest makes room."""

    idle_minutes: float | None = Field(default=None, gt=0)
    """End when nobody has asked anything for so long; none: never."""

    log_contents: bool = False
    """Write prompts and answers into the request log. They are private: off unless asked."""

    @model_validator(mode="after")
    def _fits_the_engine(self) -> Self:
        """Refuse settings that the engine would pass over."""
        if self.chosen_engine == "llama_cpp":
            idle = {
                "revision": self.model.revision is not None,
                "trust_remote_code": self.model.trust_remote_code,
                "attn_implementation": self.model.attn_implementation is not None,
                "dtype": self.model.dtype != "auto",
            }
            if passed_over := ", ".join(name for name, given in idle.items() if given):
                raise PydanticCustomError(
                    "not_for_gguf",
                    "{settings}: not for a .gguf file, which says all that itself",
                    {"settings": passed_over},
                )
        return self

    @property
    def chosen_engine(self) -> EngineName:
        """The engine that `engine` comes to."""
        if self.engine != "auto":
            return self.engine
        return "llama_cpp" if self.model.model_name.lower().endswith(GGUF) else "transformers"


def serve_config(frozen: dict[str, Any]) -> ServeConfig:
    """Read back the config of a server's run.

    Raises:
        InputError: a setting is unknown or has a value that is refused.
    """
    try:
        return ServeConfig.model_validate(frozen)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(
            f"run.json of this server: {where}: {first['msg']}",
            remedy="written by a newer version of qtui? Update qtui, or start the server anew",
        ) from error
