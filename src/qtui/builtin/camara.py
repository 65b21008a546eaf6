"""Sample data: requests in plain words and the CAMARA Quality-on-Demand session each asks for.

It exists so that a first fine-tuning needs no download and has a result that can be checked:
every answer is one compact JSON object, the body of `createSession`, and is either valid and
right or not. The sentences are this project's own; field names and value rules are those of the
public specification (Quality-on-Demand and its common definitions).

What "held out" means here:

- **Addresses and numbers.** The splits share no request, and no IPv4 address and no phone number:
  the sum of a value's numbers decides its split (0 mod 10 is test, 1 is validation, all else
  train), so this holds for any seed and any number of rows.
- **Sentences.** `UNSEEN_SENTENCES` are used by the test split only, in half of its rows.
- **Times.** `UNSEEN_TIMES` are used by the test split only, in a quarter of its rows; their
  seconds appear in no other split.
- What a request needs (`NEEDS`) is a closed list that all splits share: which profile fits a
  voice call is a convention, and is to be learned, not guessed.

Addresses come from blocks that are reserved for documentation, benchmarks and private networks,
phone numbers from ranges set aside for fiction: nobody's real ones are in here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from random import Random
from typing import Any, Literal, get_args

Split = Literal["train", "validation", "test"]
Row = dict[str, Any]

SEED = 20
ROWS: dict[Split, int] = {"train": 2000, "validation": 150, "test": 200}
PREFERENCES = 300

NEEDS: dict[str, tuple[str, ...]] = {
    "QOS_E": (
        "low latency", "stable latency", "the lowest delay", "a cloud game", "remote driving",
        "robot control", "virtual reality", "a drone flight", "quick reactions", "profile QOS_E",
    ),
    "QOS_S": (
        "small throughput", "a voice call", "sensor readings", "telemetry", "a card payment",
        "text messages", "a small data rate", "low bandwidth", "status reports", "profile QOS_S",
    ),
    "QOS_M": (
        "medium throughput", "a video call", "web browsing", "an online lesson", "screen sharing",
        "a medium data rate", "a photo upload", "a video meeting", "a web shop", "profile QOS_M",
    ),
    "QOS_L": (
        "large throughput", "4K video", "a backup", "a live broadcast", "a big upload",
        "high bandwidth", "a high data rate", "raw camera footage", "a big download",
        "profile QOS_L",
    ),
}  # fmt: skip

TIMES: tuple[tuple[str, int], ...] = (
    ("5 minutes", 300), ("10 minutes", 600), ("15 minutes", 900), ("20 minutes", 1200),
    ("25 minutes", 1500), ("30 minutes", 1800), ("45 minutes", 2700), ("50 minutes", 3000),
    ("60 minutes", 3600), ("90 minutes", 5400), ("120 minutes", 7200), ("10 min", 600),
    ("20 min", 1200), ("30 min", 1800), ("45 min", 2700), ("five minutes", 300),
    ("ten minutes", 600), ("fifteen minutes", 900), ("twenty minutes", 1200),
    ("thirty minutes", 1800), ("forty-five minutes", 2700), ("ninety minutes", 5400),
    ("a minute", 60), ("two minutes", 120), ("an hour", 3600), ("one hour", 3600),
    ("1 hour", 3600), ("2 hours", 7200), ("two hours", 7200), ("3 hours", 10800),
    ("three hours", 10800), ("4 hours", 14400), ("six hours", 21600), ("8 hours", 28800),
    ("twelve hours", 43200), ("half an hour", 1800), ("a quarter of an hour", 900),
    ("three quarters of an hour", 2700), ("an hour and a half", 5400),
    ("two and a half hours", 9000), ("1.5 hours", 5400), ("2.5 hours", 9000),
    ("an hour and 15 minutes", 4500), ("1 h 30 min", 5400), ("2 hours and 30 minutes", 9000),
    ("30 seconds", 30), ("45 seconds", 45), ("90 seconds", 90), ("300 seconds", 300),
    ("600 seconds", 600), ("a day", 86400),
)  # fmt: skip
UNSEEN_TIMES: tuple[tuple[str, int], ...] = (
    ("12 minutes", 720), ("35 minutes", 2100), ("55 minutes", 3300), ("40 min", 2400),
    ("forty minutes", 2400), ("eighteen minutes", 1080), ("5 hours", 18000),
    ("ten hours", 36000), ("3.5 hours", 12600), ("an hour and 20 minutes", 4800),
    ("2 h 15 min", 8100), ("50 seconds", 50), ("240 seconds", 240),
)  # fmt: skip

SENTENCES = (
    "Please give {device} {need} to {server} for {time}.",
    "We need {need} between {device} and {server} for {time}.",
    "For {time}, {device} needs {need} towards {server}.",
    "{need} for {device} to {server}, {time}.",
    "Open a session from {device} to {server} for {time}: {need}.",
    "Set up {need} for {time}. Device: {device}. Server: {server}.",
    "{device} will use {server} for {need} during {time}.",
    "Can you book {time} of {need} for {device} with {server}?",
    "Server {server}, device {device}, {need}, {time}.",
    "I want {need} on {device} while it talks to {server} for {time}.",
    "During {time} please keep {need} from {device} to {server}.",
    "Reserve {time} for {device} and {server}; it is for {need}.",
    "Start {need} at {server} for {device} and keep it for {time}.",
    "Our customer on {device} asks for {need} to {server} for {time}.",
    "Let {device} reach {server} with {need} for the next {time}.",
    "The next {time} are for {need} from {device} to {server}.",
    "Traffic from {device} to {server} is {need}. Hold it for {time}.",
    "{time} please: {device} to {server}, {need}.",
    "Talk to {server} from {device}. We do {need} for {time}.",
    "Make a session for {need}: {device}, {server}, {time}.",
    "At {server} we need {need} for {device}, {time}.",
    "{server} shall serve {device} with {need} for {time}.",
    "On {server} there will be {time} of {need}; {device} is the device.",
    "Get {server} ready: {device} wants {need} for {time}.",
)
UNSEEN_SENTENCES = (
    "Between {server} and {device} we want {need} for {time}.",
    "Keep {need} for {device} to {server} during {time}.",
    "{device} asks for {time} of {need} with {server}.",
    "Book {need} to {server} for {time}; the device is {device}.",
    "For {need}, connect {device} to {server} for {time}.",
    "I need {time} of {need} at {server} on {device}.",
)


def compact(value: object) -> str:
    """JSON as the answers are written: no spaces, keys in the order of the specification."""
    return json.dumps(value, separators=(",", ":"))


def split_of(value: str) -> Split:
    """The one split that may use this address or phone number.

    >>> split_of("192.0.2.6")
    'test'
    """
    digits = value.removeprefix("+")
    total = sum(int(part) for part in (digits.split(".") if "." in digits else digits))
    return {0: "test", 1: "validation"}.get(total % 10, "train")  # type: ignore[return-value]


def _drawn(rng: Random, split: Split, make: Callable[[Random], str]) -> str:
    """A fresh value that belongs to `split`."""
    while split_of(value := make(rng)) != split:
        pass
    return value


def _public(rng: Random) -> str:
    if rng.random() < 0.5:
        return f"198.{rng.choice((18, 19))}.{rng.randrange(256)}.{rng.randrange(1, 255)}"
    block = rng.choice(("192.0.2", "198.51.100", "203.0.113"))
    return f"{block}.{rng.randrange(1, 255)}"


def _private(rng: Random) -> str:
    tail = f"{rng.randrange(256)}.{rng.randrange(1, 255)}"
    heads = (f"10.{rng.randrange(256)}.", "192.168.", f"172.{rng.randrange(16, 32)}.")
    return rng.choice(heads) + tail


def _phone(rng: Random) -> str:
    return rng.choice(
        (
            f"+1{rng.randrange(201, 990)}55501{rng.randrange(100):02}",
            f"+447700900{rng.randrange(1000):03}",
            f"+3532091{rng.randrange(100000):05}",
        )
    )


def _device(rng: Random, split: Split) -> tuple[str, dict[str, Any]]:
    """How a request names the device, and the `device` object."""
    kind = rng.randrange(3)
    if kind == 0:
        number = _drawn(rng, split, _phone)
        said = rng.choice(("phone {}", "the phone {}", "{}", "number {}", "mobile {}"))
        return said.format(number), {"phoneNumber": number}
    public = _drawn(rng, split, _public)
    if kind == 1:
        port = rng.randrange(1024, 65536)
        said = rng.choice(("{}:{}", "{} port {}", "{}, port {},", "{} (port {})"))
        named = said.format(public, port)
        return named, {"ipv4Address": {"publicAddress": public, "publicPort": port}}
    private = _drawn(rng, split, _private)
    said = rng.choice(
        (
            "{a} (inside {b})",
            "{a} (private {b})",
            "private {b} behind {a}",
            "{a} with private address {b}",
        )
    )
    named = said.format(a=public, b=private)
    return named, {"ipv4Address": {"publicAddress": public, "privateAddress": private}}


def _server(rng: Random, split: Split) -> tuple[str, dict[str, Any]]:
    """How a request names the application server, and the `applicationServer` object."""
    address = _drawn(rng, split, _public)
    if rng.random() < 0.15:
        address = address.rsplit(".", 1)[0] + f".0/{rng.choice((24, 25, 26, 28))}"
        if split_of(address.split("/")[0]) != split:
            return _server(rng, split)
    said = rng.choice(("{}", "{}", "the server {}", "our server {}", "the host {}"))
    return said.format(address), {"ipv4Address": address}


def _request(rng: Random, split: Split) -> tuple[str, dict[str, Any]]:
    """One request in plain words and the session it asks for."""
    device, device_object = _device(rng, split)
    server, server_object = _server(rng, split)
    profile = rng.choice(tuple(NEEDS))
    need = rng.choice(NEEDS[profile])
    unseen_time = split == "test" and rng.random() < 0.25
    time, seconds = rng.choice(UNSEEN_TIMES if unseen_time else TIMES)
    unseen_sentence = split == "test" and rng.random() < 0.5
    sentence = rng.choice(UNSEEN_SENTENCES if unseen_sentence else SENTENCES)
    text = sentence.format(device=device, server=server, need=need, time=time)
    for clumsy, plain in ((",,", ","), (",.", "."), (",;", ";"), ("Server the", "The")):
        text = text.replace(clumsy, plain)
    session = {
        "device": device_object,
        "applicationServer": server_object,
        "qosProfile": profile,
        "duration": seconds,
    }
    return text[0].upper() + text[1:], session


def generate(seed: int, n: int, split: Split) -> Iterator[Row]:
    """`n` different rows of `split`, each `{"messages": [user, assistant]}`.

    The same arguments always give the same rows. Raises `ValueError` for an unknown split.
    """
    if split not in get_args(Split):
        raise ValueError(f"split is one of {', '.join(get_args(Split))}, not {split!r}")
    rng = Random(f"camara {split} {seed}")  # noqa: S311
    seen: set[str] = set()
    while len(seen) < n:
        text, session = _request(rng, split)
        if text in seen:
            continue
        seen.add(text)
        yield {
            "messages": [
                {"role": "user", "content": text},
                {"role": "assistant", "content": compact(session)},
            ]
        }


def _spoilt(rng: Random, session: dict[str, Any]) -> str:
    """The same session with one fault of the kind that a half-trained model makes."""
    bad = json.loads(json.dumps(session))
    fault = rng.randrange(6)
    if fault == 0:
        bad["duration"] = max(1, bad["duration"] // 60)
        if bad["duration"] == session["duration"]:
            bad["duration"] += 1
    elif fault == 1:
        bad["qosProfile"] = rng.choice([p for p in NEEDS if p != session["qosProfile"]])
    elif fault == 2:
        del bad["applicationServer"]
    elif fault == 3:
        bad["duration"] = f"{bad['duration']} seconds"
    elif fault == 4:
        return "Here is the session: " + compact(session)
    else:
        bad = {"server" if k == "applicationServer" else k: v for k, v in bad.items()}
    return compact(bad)


def preferences(seed: int, n: int) -> Iterator[Row]:
    """`n` pairs for preference tuning, from values of the training split.

    Each is `{"prompt": [user], "chosen": [assistant], "rejected": [assistant]}`; the rejected
    answer has exactly one fault.
    """
    rng = Random(f"camara preferences {seed}")  # noqa: S311
    for row in generate(seed + 1, n, "train"):
        user, assistant = row["messages"]
        rejected = _spoilt(rng, json.loads(assistant["content"]))
        yield {
            "prompt": [user],
            "chosen": [assistant],
            "rejected": [{"role": "assistant", "content": rejected}],
        }
