"""Every command as data: its words, arguments, help, examples and the function behind it.

The parser, the generated docs and the help texts are all made from this table, so that they
cannot drift apart. Nothing is imported here: `qtui --help` starts at the speed of argparse.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Argument:
    """One argument or option; `options` go to argparse's add_argument as they are."""

    flags: tuple[str, ...]
    help: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class CommandSpec:
    """One command: `path` are its words, `handler` is module:function inside qtui.cli."""

    path: tuple[str, ...]
    handler: str
    summary: str
    examples: tuple[str, ...]
    arguments: tuple[Argument, ...] = ()
    detail: str = ""


def _argument(*flags: str, help: str, **options: Any) -> Argument:
    return Argument(flags, help, options)


GROUPS: Mapping[str, str] = {
    "config": "look at settings and the run file's schema",
    "runs": "list, follow, stop, resume and compare runs",
}

COMMON = (
    _argument("--json", help="one JSON document, or one object a line while following",
              action="store_true"),
    _argument("--workspace", help="folder that holds runs/ (default: $QTUI_WORKSPACE, else here)",
              metavar="DIR"),
    _argument("--debug", help="show the traceback of an error", action="store_true"),
)  # fmt: skip

_PRESET = _argument(
    "--preset",
    help="start from this preset (see qtui init --help); settings of the run file win",
    metavar="NAME",
)
_SET = _argument(
    "--set",
    help="one setting, such as training.learning_rate=1e-4; may be given many times",
    action="append", default=[], metavar="KEY=VALUE", dest="overrides",
)  # fmt: skip
_PATH = _argument("path", help="run file (YAML)", metavar="PATH")
_OPTIONAL_PATH = _argument(
    "path", help="run file (YAML); may be left out with --preset", nargs="?", metavar="PATH"
)
_RUN = _argument(
    "run", help="a run's folder name, name, an unambiguous beginning of either, or latest",
    metavar="RUN",
)  # fmt: skip
_DETACH = _argument(
    "--detach", help="return at once with the run's id; the run goes on by itself",
    action="store_true",
)  # fmt: skip
_DEVICE = _argument(
    "--device",
    help="reckon for this device (default: as the run file says)",
    choices=("cuda", "cpu"),
)
_SUBJECTS = _argument(
    "subjects", help="runs, checkpoints (RUN@STEP, RUN@last) or a base model: folder, .gguf file, "
    "hub id or builtin:tiny; with --url ids of models (default: the newest run)",
    nargs="*", metavar="RUN|MODEL",
)  # fmt: skip
_URL = _argument(
    "--url", help="ask the OpenAI-compatible server there, with or without /v1; unix:PATH for a "
    "socket", metavar="URL",
)  # fmt: skip
_MODEL = _argument(
    "--model", help="a model of the server at --url, by its id; may be given many times",
    action="append", default=[], metavar="ID", dest="models",
)  # fmt: skip
_SYSTEM = _argument("--system", help="system prompt", metavar="TEXT")
_RAW = _argument(
    "--raw", help="with special tokens, and the prompt as the model sees it", action="store_true"
)
_PLAIN = _argument(
    "--plain", help="no chat template: the model goes on from the text", action="store_true"
)
_KEEP = _argument(
    "--keep", help="leave a server running that was started for this", action="store_true"
)
_SAMPLING = (
    _argument("--temperature", help="0 is greedy (default: 0.7)", type=float, metavar="T"),
    _argument("--top-p", help="(default: 0.9)", type=float, metavar="P"),
    _argument("--top-k", help="only the K likeliest tokens", type=int, metavar="K"),
    _argument("--min-p", help="only tokens of at least so much of the likeliest one's probability",
              type=float, metavar="P"),
    _argument("--repetition-penalty", help="above 1 repeats less", type=float, metavar="R"),
    _argument("--seed", help="draw the same way each time; beside other requests rounding may "
              "differ", type=int, metavar="N"),
    _argument("--max-tokens", help="longest answer (default: 512)", type=int, metavar="N"),
    _argument("--stop", help="text before which the answer ends; may be given many times",
              action="append", default=[], metavar="TEXT"),
    _argument("--json-schema", help="the answer is JSON of the schema in this file",
              metavar="FILE"),
)  # fmt: skip
_HELD = (
    _argument("--device", help="start the server on this: auto, cpu, cuda or cuda:N",
              metavar="DEVICE"),
    _argument("--quantization", help="how the base is held (default: as the run trained on it, "
              "else nf4)", choices=("nf4", "int8", "none")),
    _argument("--chat-template", help="Jinja file, or chatml, for a model without one",
              metavar="FILE"),
)  # fmt: skip
_SETTINGS = "Settings and what they mean: qtui config fields"

COMMANDS: tuple[CommandSpec, ...] = (
    CommandSpec(
        ("init",), "config:init", "write a commented run file to start from",
        ("qtui init run.yaml --preset qlora-24gb",),
        (
            _argument("path", help="where to write it", metavar="PATH"),
            _argument("--preset", help="quickstart (the default), qlora-small-gpu, qlora-24gb, "
                      "qlora-80gb, lora or full", default="quickstart", metavar="NAME"),
            _argument("--force", help="overwrite a file that is there", action="store_true"),
        ),
    ),
    CommandSpec(
        ("validate",), "validate:validate", "check a run file, its data and whether it fits",
        ("qtui validate run.yaml", "qtui validate run.yaml --no-data --verbose"),
        (
            _PATH, _PRESET, _SET,
            _argument("--no-data", help="check the settings only", action="store_true"),
            _argument("--verbose", help="show where each setting comes from",
                      action="store_true"),
        ),
        "Ends with 0 when all is well, 2 with every problem listed, 4 when it does not fit here.",
    ),
    CommandSpec(
        ("estimate",), "estimate:estimate", "say how much memory and disk a run will need",
        ("qtui estimate run.yaml", "qtui estimate --preset qlora-24gb --device cuda"),
        (_OPTIONAL_PATH, _PRESET, _SET, _DEVICE),
    ),
    CommandSpec(
        ("prepare-data",), "prepare:prepare_data",
        "read, clean, check, split and tokenise the data of a run file, and report on them",
        ("qtui prepare-data run.yaml", "qtui prepare-data run.yaml --set data.output_path=clean"),
        (
            _OPTIONAL_PATH, _PRESET, _SET,
            _argument("--name", help="name of the run (default: two words at random)",
                      metavar="NAME"),
            _DETACH,
        ),
        "A run of its own, kind prepare: it can be left, attached to, stopped and resumed, and "
        "the dashboard shows every row of it. qtui train on the same data takes it over. Ends "
        "with 2 when the data cannot be trained on, as qtui train would. What is accepted: "
        "docs/data.md",
    ),
    CommandSpec(
        ("train",), "train:train", "start a run and follow it",
        ("qtui train run.yaml", "qtui train run.yaml --set training.max_steps=100 --detach"),
        (
            _OPTIONAL_PATH, _PRESET, _SET,
            _argument("--name", help="name of the run (default: two words at random)",
                      metavar="NAME"),
            _DETACH,
            _argument("--force", help="start although memory or disk look too small",
                      action="store_true"),
        ),
        "The run is a process of its own: Ctrl-C, a lost connection or a closed terminal stop "
        "the following, never the run. Ends with 0 when the run completed, 1 when it failed, "
        "2 for a bad run file, 4 when it does not fit on this machine, 130 when the run was "
        f"stopped or the following was (Ctrl-C). {_SETTINGS}",
    ),
    CommandSpec(
        ("serve",), "serve:serve", "serve a run, a checkpoint or a model to OpenAI clients",
        (
            "qtui serve latest",
            "qtui serve quiet-otter quiet-otter@400 --port 8080 --detach",
            "qtui serve Qwen/Qwen2.5-0.5B-Instruct --quantization int8",
        ),
        (
            _argument("subjects", help="runs, checkpoints (RUN@STEP, RUN@last) of one base, or "
                      "one base: folder, .gguf file, hub id or builtin:tiny", nargs="+",
                      metavar="RUN|MODEL"),
            _argument("--host", help="address to listen on (default: 127.0.0.1); other than "
                      "loopback needs a key in QTUI_API_KEY", metavar="HOST"),
            _argument("--port", help="port to listen on; 0 takes a free one (default: 8000)",
                      type=int, metavar="N"),
            _argument("--socket", help="listen on a Unix socket of this user instead",
                      action="store_true"),
            _argument("--engine", help="what computes (default: auto: llama_cpp for a .gguf "
                      "file, else transformers)",
                      choices=("auto", "transformers", "llama_cpp", "vllm")),
            _argument("--quantization", help="how the base is held (default: as the run trained "
                      "on it, else nf4)", choices=("nf4", "int8", "none")),
            _argument("--device", help="auto, cpu, cuda or cuda:N", metavar="DEVICE"),
            _argument("--dtype", help="type of weights that are not quantised",
                      choices=("auto", "bfloat16", "float16", "float32")),
            _argument("--attn-implementation", help="attention kernel", choices=(
                      "eager", "sdpa", "flash_attention_2", "flash_attention_3")),
            _argument("--revision", help="hub branch, tag or commit of the base", metavar="REV"),
            _argument("--trust-remote-code", help="run Python code that comes with the model",
                      action="store_true"),
            _argument("--chat-template", help="Jinja file, or chatml, for a model without one",
                      metavar="FILE"),
            _argument("--max-context", help="longest prompt with its answer, in tokens",
                      type=int, metavar="N"),
            _argument("--max-prompt-tokens", help="longest prompt", type=int, metavar="N"),
            _argument("--max-concurrent", help="requests answered at once (default: 16)",
                      type=int, metavar="N"),
            _argument("--max-queue", help="requests that may wait; more get 429 (default: 64)",
                      type=int, metavar="N"),
            _argument("--max-body-bytes", help="largest request (default: 4 MiB)", type=int,
                      metavar="N"),
            _argument("--max-adapters", help="adapters held in memory (default: 8)", type=int,
                      metavar="N"),
            _argument("--allow-host", help="host name by which it may be addressed; may be given "
                      "many times", action="append", default=[], metavar="NAME",
                      dest="allowed_hosts"),
            _argument("--allow-origin", help="origin of web pages that may call it; may be given "
                      "many times", action="append", default=[], metavar="URL",
                      dest="allowed_origins"),
            _argument("--idle-minutes", help="end when nobody has asked for so long", type=float,
                      metavar="M"),
            _argument("--log-contents", help="write prompts and answers into the request log",
                      action="store_true"),
            _argument("--name", help="name of the run (default: two words at random)",
                      metavar="NAME"),
            _DETACH,
        ),
        "A run of its own, kind serve: Ctrl-C stops the following, qtui runs stop ends it. Runs "
        "of this workspace with the same base can be asked for by RUN or RUN@STEP without being "
        "named here. See docs/serving.md",
    ),
    CommandSpec(
        ("chat",), "chat:chat", "ask a run, a checkpoint, a model or a server elsewhere",
        (
            "qtui chat latest",
            "qtui chat quiet-otter --base --prompt 'How do I return a lamp?'",
            "qtui chat --url https://HOST/v1 --model NAME --prompt hello --json",
        ),
        (
            _SUBJECTS, _URL, _MODEL,
            _argument("--prompt", help="ask this and end (default: standard input; on a terminal "
                      "the chat screen opens)", metavar="TEXT"),
            _SYSTEM,
            _argument("--base", help="ask the base model as well, first", action="store_true"),
            *_SAMPLING, _RAW, _PLAIN, _KEEP, *_HELD,
        ),
        "Takes the server that lives for it, else starts one and stops it at the end. A server "
        "that asks for a key gets that of QTUI_API_KEY. Ends with 0 when every model answered, 1 "
        "when one did not, 130 after Ctrl-C.",
    ),
    CommandSpec(
        ("generate",), "generate:generate", "ask every row of a file, several at once",
        (
            "qtui generate prompts.jsonl quiet-otter --output answers.jsonl",
            "qtui generate questions.txt --url https://HOST/v1 --model NAME --concurrency 32",
        ),
        (
            _argument("input", help="rows with prompt or messages (JSON lines), or lines of plain "
                      "text; - is standard input", metavar="INPUT"),
            _SUBJECTS,
            _argument("--output", help="file for the answers, a line of JSON each (default: "
                      "standard output); the same command goes on with it", metavar="FILE"),
            _argument("--force", help="overwrite the output, whatever is in it",
                      action="store_true"),
            _argument("--field", help="key of the prompt or messages in a row (default: messages, "
                      "else prompt)", metavar="KEY"),
            _argument("--concurrency", help="requests at once (default: what the server takes, "
                      "8 for one elsewhere)", type=int, metavar="N"),
            _URL, _MODEL, _SYSTEM, *_SAMPLING, _RAW, _PLAIN, _KEEP, *_HELD,
        ),
        "Answers are written as they come, each with the line number of its row. Interrupted, it "
        "goes on where it was when it is called again; failed rows are then asked again. Ends "
        "with 0 when every row was answered, 1 when some were not.",
    ),
    CommandSpec(
        ("quickstart",), "train:quickstart",
        "train the built-in model on the built-in data and show what changed",
        ("qtui quickstart",),
        (_SET,),
        "Needs no GPU, no account and no network.",
    ),
    CommandSpec(
        ("config", "schema"), "config:schema", "print the run file's JSON Schema",
        ("qtui config schema > run.schema.json",),
    ),
    CommandSpec(
        ("config", "show"), "config:show", "print the settings that a run file comes to",
        ("qtui config show run.yaml", "qtui config show --preset quickstart --changed"),
        (
            _OPTIONAL_PATH, _PRESET, _SET,
            _argument("--changed", help="only what differs from the defaults",
                      action="store_true"),
        ),
    ),
    CommandSpec(
        ("config", "fields"), "config:fields", "list every setting with its default and meaning",
        ("qtui config fields", "qtui config fields lora"),
        (_argument("word", help="only settings whose key has this in it", nargs="?", default="",
                   metavar="WORD"),),
    ),
    CommandSpec(
        ("config", "presets"), "config:presets", "list the presets and whom each is for",
        ("qtui config presets",),
    ),
    CommandSpec(
        ("runs", "list"), "runs:list_runs", "list the runs of this workspace, newest first",
        ("qtui runs list", "qtui runs list --limit 5 --json"),
        (_argument("--limit", help="only the newest N", type=int, metavar="N"),),
    ),
    CommandSpec(
        ("runs", "show"), "show:show", "what a run was asked to do and how it went",
        ("qtui runs show latest", "qtui runs show quiet-otter --csv > metrics.csv"),
        (_RUN, _argument("--csv", help="the metrics of every step as CSV", action="store_true")),
    ),
    CommandSpec(
        ("runs", "logs"), "runs:logs", "print a run's messages, or what its worker printed",
        ("qtui runs logs latest", "qtui runs logs latest --worker --follow"),
        (
            _RUN,
            _argument("--worker", help="the worker's own stdout and stderr instead",
                      action="store_true"),
            _argument("--follow", help="go on until the run has ended", action="store_true"),
        ),
    ),
    CommandSpec(
        ("runs", "attach"), "runs:attach", "follow a run from its beginning to its end",
        ("qtui runs attach latest",), (_RUN,),
        "Ctrl-C stops following, never the run. Ends as train does.",
    ),
    CommandSpec(
        ("runs", "stop"), "runs:stop", "ask a run to stop, with a checkpoint unless told not to",
        ("qtui runs stop latest --wait", "qtui runs stop quiet-otter --discard"),
        (
            _RUN,
            _argument("--discard", help="write no checkpoint: lose what came after the last one",
                      action="store_true"),
            _argument("--wait", help="return when the run has ended", action="store_true"),
        ),
    ),
    CommandSpec(
        ("runs", "save"), "runs:save", "ask a run for a checkpoint at its next step",
        ("qtui runs save latest",), (_RUN,),
    ),
    CommandSpec(
        ("runs", "resume"), "runs:resume",
        "go on from the newest whole checkpoint of a run that ended early",
        ("qtui runs resume latest", "qtui runs resume latest --set training.learning_rate=5e-5"),
        (_RUN, _SET, _DETACH),
        "With --set it goes on with other settings: learning rate, batch, device, how often it "
        "evaluates and saves, and the like. Any other setting is refused, with the list of those "
        "that may change. Later resumes keep them. Ends as train does.",
    ),
    CommandSpec(
        ("runs", "diff"), "runs:diff", "what differs between two runs: settings and versions",
        ("qtui runs diff quiet-otter brisk-heron",),
        (
            _argument("left", help="one run", metavar="A"),
            _argument("right", help="another", metavar="B"),
        ),
        "A and B are named as RUN is elsewhere: folder name, unambiguous beginning or latest.",
    ),
    CommandSpec(
        ("runs", "plot"), "plot:plot", "draw a metric of one or more runs",
        ("qtui runs plot latest", "qtui runs plot latest quiet --metric eval_loss --output a.svg"),
        (
            _argument("runs", help="runs to draw over each other", nargs="+", metavar="RUN"),
            _argument("--metric", help="what to draw (default: loss); may be given many times",
                      action="append", default=[], metavar="NAME", dest="metrics"),
            _argument("--output", help="write a picture instead: .svg or .png", metavar="FILE"),
            _argument("--force", help="overwrite a file that is there", action="store_true"),
        ),
    ),
    CommandSpec(
        ("runs", "delete"), "runs:delete", "remove a run's folder and everything in it",
        ("qtui runs delete pale-lynx --yes",),
        (_RUN, _argument("--yes", help="do not ask", action="store_true")),
    ),
    CommandSpec(
        ("monitor",), "system:monitor", "watch GPUs, this machine and the living runs",
        ("qtui monitor", "qtui monitor --once --json"),
        (
            _argument("run", help="only this run (default: all that live)", nargs="?",
                      metavar="RUN"),
            _argument("--interval", help="seconds between two readings (default: 2)", type=float,
                      default=2.0, metavar="S"),
            _argument("--once", help="one reading, then end", action="store_true"),
        ),
    ),
    CommandSpec(
        ("web",), "web:web", "show the dashboard in a browser, by an address that works once",
        (
            "qtui web",
            "qtui web --host 0.0.0.0 --port 8080 --public-url https://POD-8080.proxy.example",
        ),
        (
            _argument("--host", help="address to listen on (default: 127.0.0.1, this machine "
                      "alone)", default="127.0.0.1", metavar="HOST"),
            _argument("--port", help="port to listen on; 0 takes a free one (default: 8080)",
                      type=int, default=8080, metavar="N"),
            _argument("--public-url", help="the address by which a proxy makes it reachable",
                      metavar="URL"),
            _argument("--sessions", help="most tabs at once, each a process (default: 4)",
                      type=int, default=4, metavar="N"),
        ),
        "Runs live outside it: closing the tab, or ending this with Ctrl-C, costs them nothing. "
        "On a pod: docs/dashboard.md",
    ),
    CommandSpec(
        ("doctor",), "system:doctor", "say what is missing here and the command that mends it",
        ("qtui doctor",),
        detail="Ends with 4 when something that training needs is missing, else with 0.",
    ),
)  # fmt: skip
