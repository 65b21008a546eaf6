"""A stand-in for the `vllm` executable, which needs a GPU: the same options, routes and answers.

It is strict where vLLM is: options and fields that vLLM 0.27 does not have are errors. A word of
the prompt steers it: `slow` answers without end, `die` ends the process in the middle, `refuse`
is an error of the engine within the stream. Everything it is asked is written to a file.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

LOG = "FAKE_VLLM_LOG"
FAIL = "FAKE_VLLM_FAIL"
FIELDS = {
    "model", "prompt", "stream", "stream_options", "return_token_ids", "max_tokens", "temperature",
    "top_p", "top_k", "min_p", "repetition_penalty", "stop", "stop_token_ids", "ignore_eos",
    "skip_special_tokens", "spaces_between_special_tokens", "seed", "response_format",
}  # fmt: skip
RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)


def install(folder: Path) -> Path:
    """Write an executable `vllm` into `folder`; returns the folder for the PATH."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "vllm"
    root = Path(__file__).parents[3]
    program.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(root)!r})\n"
        "from tests.stages.inference.fake_vllm import main\nmain()\n"
    )
    program.chmod(0o755)
    return folder


def _note(**what: Any) -> None:
    with Path(os.environ[LOG]).open("a") as file:
        file.write(json.dumps(what) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="vllm")
    parser.add_argument("verb", choices=["serve"])
    parser.add_argument("model")
    parser.add_argument("--served-model-name", nargs="+")
    parser.add_argument("--uds")
    parser.add_argument("--dtype", choices=["auto", "bfloat16", "float16", "float32", "half"])
    parser.add_argument("--disable-uvicorn-access-log", action="store_true")
    parser.add_argument("--max-num-seqs", type=int)
    parser.add_argument("--max-model-len", type=int, default=1024)
    parser.add_argument("--quantization")
    parser.add_argument("--trust-remote-code", action="store_true")
    parser.add_argument("--gpu-memory-utilization", type=float, default=0.9)
    parser.add_argument("--enable-lora", action="store_true")
    parser.add_argument("--max-lora-rank", type=int, choices=RANKS, default=16)
    parser.add_argument("--max-loras", type=int, default=1)
    parser.add_argument("--max-cpu-loras", type=int)
    parser.add_argument("--lora-modules", nargs="+", type=json.loads, default=[])
    return parser.parse_args()


def main() -> None:
    options = _options()
    # As vLLM does: the engine is a process of its own, which a kill of the server would leave.
    engine = subprocess.Popen(["sleep", "600"])
    _note(
        argv=sys.argv[1:], pid=os.getpid(), engine=engine.pid,
        runtime_lora=os.environ.get("VLLM_ALLOW_RUNTIME_LORA_UPDATING"),
        key_in_environment=bool(os.environ.get("VLLM_API_KEY")),
        foreign_key=os.environ.get("QTUI_API_KEY"),
        folder_mode=Path(options.uds).parent.stat().st_mode & 0o777,
    )  # fmt: skip
    print("INFO loading weights", flush=True)
    if message := os.environ.get(FAIL):
        sys.exit(f"ERROR {message}")
    import uvicorn

    uvicorn.run(_app(options), uds=options.uds, log_level="warning")


def _app(options: argparse.Namespace) -> Any:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response, StreamingResponse
    from starlette.routing import Route
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(Path(options.model) / "tokenizer.json"))
    base = options.served_model_name[0]
    adapters = {one["name"]: one["path"] for one in options.lora_modules}
    asked = {"health": 0}

    def error(message: str, code: int, param: str | None = None) -> JSONResponse:
        inner = {"message": message, "type": "BadRequestError", "param": param, "code": code}
        return JSONResponse({"error": inner}, code)

    def unauthorised(request: Request) -> JSONResponse | None:
        if request.headers.get("authorization") == f"Bearer {os.environ['VLLM_API_KEY']}":
            return None
        return JSONResponse({"error": "Unauthorized"}, 401)

    async def health(request: Request) -> Response:
        asked["health"] += 1
        return Response(status_code=200 if asked["health"] > 1 else 503)

    async def models(request: Request) -> Response:
        if refusal := unauthorised(request):
            return refusal
        first = {"id": base, "max_model_len": options.max_model_len, "parent": None}
        return JSONResponse({"data": [first, *({"id": name, "parent": base} for name in adapters)]})

    async def load(request: Request) -> Response:
        if refusal := unauthorised(request):
            return refusal
        body = await request.json()
        _note(load=body)
        name = body["lora_name"]
        if name in adapters and not body.get("load_inplace"):
            return error(f"The lora adapter '{name}' has already been loaded.", 400)
        adapters[name] = body["lora_path"]
        return Response(f"Success: LoRA adapter '{name}' added successfully.")

    async def completions(request: Request) -> Response:
        if refusal := unauthorised(request):
            return refusal
        body = await request.json()
        _note(body=body)
        if unknown := set(body) - FIELDS:
            return error(f"unknown fields {unknown}", 400)
        if body["model"] not in {base, *adapters}:
            return error(f"The model `{body['model']}` does not exist.", 404, "model")
        if not 0 <= body["top_p"] <= 1:
            return error(f"top_p must be in (0, 1], got {body['top_p']}.", 400, "top_p")
        return StreamingResponse(stream(body), media_type="text/event-stream")

    async def stream(body: dict[str, Any]) -> AsyncIterator[str]:
        prompt = tokenizer.decode(body["prompt"], skip_special_tokens=True)
        answer = f"{body['model']} read\u2028{prompt}"
        ids = tokenizer.encode(answer, add_special_tokens=False).ids
        endless = "slow" in prompt or "die" in prompt
        sent, given = 0, ""
        try:
            while sent < body["max_tokens"]:
                if "refuse" in prompt:
                    inner = {"message": "the grammar is too large", "code": 400}
                    yield f"data: {json.dumps({'error': inner})}\n\n"
                    return
                if "die" in prompt and sent == 3:
                    print("ERROR EngineCore: CUDA error: device lost", flush=True)
                    os._exit(1)
                ended = not endless and sent == len(ids)
                whole = tokenizer.decode(ids[: sent + 1])
                text = "." if endless else ""
                if not ended and not endless and not whole.endswith("\ufffd"):
                    text, given = whole[len(given) :], whole
                choice = {"index": 0, "text": text, "token_ids": [2 if ended else 5]}
                sent += 1
                choice["finish_reason"] = (
                    "stop" if ended else "length" if sent == body["max_tokens"] else None
                )
                yield f"data: {json.dumps({'choices': [choice]}, ensure_ascii=False)}\n\n"
                if ended:
                    break
                await asyncio.sleep(0.01 if endless else 0)
            usage = {"prompt_tokens": len(body["prompt"]), "completion_tokens": sent}
            yield f"data: {json.dumps({'choices': [], 'usage': usage})}\n\n"
            yield "data: [DONE]\n\n"
        except (asyncio.CancelledError, GeneratorExit):
            _note(aborted=sent)
            raise

    return Starlette(
        routes=[
            Route("/health", health),
            Route("/v1/models", models),
            Route("/v1/load_lora_adapter", load, methods=["POST"]),
            Route("/v1/completions", completions, methods=["POST"]),
        ]
    )
