"""Descriptions in plain words and the JSON objects they stand for.

Two ways: `listed_object` names keys and values outright, over ever new key sets, nested or
flat; `described_object` tells a small story (a parcel, a timer, a booking, a rule in a firewall)
whose values must be found, converted to seconds, or chosen among codes, and the system message
says which keys are wanted. The sample data's own shape and keys are not among them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

from tiny_model import values

Messages = list[dict[str, str]]


def compact(value: Any) -> str:
    """JSON without spaces: fewer tokens to write."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def key(rng: Random) -> str:
    """A key such as port, hostName, mail_server or backupAddress."""
    first = rng.choice(values.KEYS)
    roll = rng.random()
    if roll < 0.4:
        return first
    second = rng.choice(values.KEYS)
    return f"{first}_{second}" if roll < 0.55 else first + second.capitalize()


def spoken(name: str) -> str:
    """A key as a person says it: `hostName` is host name."""
    parts = "".join(f" {c.lower()}" if c.isupper() else c for c in name)
    return parts.replace("_", " ")


def leaf(rng: Random) -> tuple[str, Any]:
    """A value as said, and as it stands in JSON."""
    kind = rng.randrange(10)
    if kind < 2:
        text, seconds = values.span(rng)
        return text, seconds
    if kind == 2:
        number = rng.randrange(65536)
        return str(number), number
    if kind == 3:
        truth = rng.random() < 0.5
        return ("yes" if truth else "no"), truth
    text = values.anything(rng)
    if text.isdigit() and text[0] != "0":
        return text, int(text)
    return text, text


def listed_object(rng: Random) -> Messages:
    """Keys and values named one by one, flat or with one object inside."""
    keys: list[str] = []
    for _ in range(rng.randint(1, 4)):
        name = key(rng)
        if name not in keys:
            keys.append(name)
    said, result = [], {}
    for name in keys:
        text, value = leaf(rng)
        shown = spoken(name) if rng.random() < 0.4 else name
        link = rng.choice(("{} is {}", "{}: {}", "{} = {}", "{} {}", "the {} is {}"))
        said.append(link.format(shown, text))
        result[name] = value
    form = rng.choice(
        ("JSON with {k}: {s}", "Keys {k}. {s}", "Write JSON ({k}): {s}", "{s}. As JSON {k}")
    )
    answer: Any = result
    listing = ", ".join(keys)
    if rng.random() < 0.35:
        outer = rng.choice([w for w in values.KEYS if w not in keys])
        if rng.random() < 0.5 and len(keys) > 1:
            cut = rng.randrange(1, len(keys))
            inner = {k: result[k] for k in keys[:cut]}
            answer = {outer: inner, **{k: result[k] for k in keys[cut:]}}
            listing = f"{outer}({', '.join(keys[:cut])}), {', '.join(keys[cut:])}"
        else:
            answer = {outer: result}
            listing = f"{outer}({listing})"
    if rng.random() < 0.3:
        rng.shuffle(said)
    separator = rng.choice(("; ", ", ", " and ", ". "))
    return [
        {"role": "user", "content": form.format(k=listing, s=separator.join(said))},
        {"role": "assistant", "content": compact(answer)},
    ]


CHOICES: tuple[dict[str, tuple[str, ...]], ...] = (
    {
        "fast": ("a game", "low latency", "remote driving", "quick reactions", "little delay",
                 "robot control", "virtual reality", "the lowest delay", "a shooter"),
        "small": ("sensor readings", "a voice call", "telemetry", "low bandwidth", "text messages",
                  "a small data rate", "status reports", "small throughput"),
        "medium": ("a video call", "web browsing", "medium throughput", "an online lesson",
                   "a medium data rate", "screen sharing", "a video meeting"),
        "large": ("4K video", "a backup", "a big upload", "large throughput", "high bandwidth",
                  "a live broadcast", "a high data rate", "raw footage"),
    },
    {
        "high": ("urgent", "at once", "an emergency", "as soon as possible", "top priority"),
        "low": ("no hurry", "whenever you can", "some day", "not important"),
        "normal": ("as usual", "the normal way", "nothing special"),
    },
    {
        "read": ("only to look", "reading", "viewing", "without changes"),
        "write": ("to edit", "writing", "making changes", "saving files"),
        "admin": ("full control", "to manage users", "everything", "setting it up"),
    },
    {
        "frozen": ("ice cream", "frozen fish", "deep-frozen peas"),
        "cold": ("milk", "fresh salad", "yoghurt", "cut flowers"),
        "dry": ("books", "shoes", "paper", "rice", "tea"),
    },
)  # fmt: skip


def _choice(rng: Random) -> tuple[str, str, str]:
    """What is said, the code it stands for, and the list that explains the codes."""
    table = rng.choice((CHOICES[0], CHOICES[0], rng.choice(CHOICES)))
    name = rng.choice(tuple(table))
    if rng.random() < 0.5:
        return rng.choice(table[name]), name, ""
    names = list(table)
    rng.shuffle(names)
    stem = values.code(rng)[:2] if rng.random() < 0.5 else ""
    codes = {n: (f"{stem}_{n[0].upper()}" if stem else values.code(rng)) for n in names}
    listing = ", ".join(f"{codes[n]} is {n}" for n in names)
    return rng.choice(table[name]), codes[name], listing


def _put(rng: Random, pairs: list[tuple[str, Any]], nest: bool) -> dict[str, Any]:
    """The pairs as one object, the first of them in an inner one when `nest`."""
    if not nest or len(pairs) < 3:
        return dict(pairs)
    cut = rng.randrange(1, len(pairs) - 1)
    outer = rng.choice([w for w in values.KEYS if all(w != k for k, _ in pairs)])
    return {outer: dict(pairs[:cut]), **dict(pairs[cut:])}


def _shape(value: dict[str, Any]) -> str:
    """The keys as a person lists them, an inner object's in brackets: `a(b, c), d`."""
    return ", ".join(f"{k}({_shape(v)})" if isinstance(v, dict) else k for k, v in value.items())


def _rule(rng: Random) -> tuple[str, list[tuple[str, Any]], str]:
    a, b, p = values.ipv4(rng), values.ipv4(rng), int(values.port(rng))
    said, seconds = values.span(rng)
    use, code, listing = _choice(rng)
    text = rng.choice(
        (
            f"Let {a} port {p} reach {b} for {said}; it is for {use}.",
            f"For {said}, {a}:{p} may talk to {b}: {use}.",
            f"Open {b} to {a} (port {p}), {use}, {said}.",
            f"Traffic from {a}, port {p}, to {b} is {use}. Keep it for {said}.",
            f"We want {use} between {a}:{p} and {b} during {said}.",
        )
    )
    k = rng.choice(
        (
            ("from", "port", "to"),
            ("source", "sourcePort", "target"),
            ("clientHost", "clientPort", "serverHost"),
            ("left", "leftPort", "right"),
        )
    )
    pairs: list[tuple[str, Any]] = [(k[0], a), (k[1], p), (k[2], b)]
    pairs += [(rng.choice(("class", "level", "mode", "plan")), code)]
    pairs += [(rng.choice(("seconds", "timeout", "holdTime", "ttl")), seconds)]
    return text, pairs, listing


def _call(rng: Random) -> tuple[str, list[tuple[str, Any]], str]:
    n, a, who = values.phone(rng), values.ipv4(rng), rng.choice(values.PEOPLE)
    said, seconds = values.span(rng)
    use, code, listing = _choice(rng)
    text = rng.choice(
        (
            f"{who} calls {n} through {a} for {said}, {use}.",
            f"Book {said} with {n} for {who} over {a}; purpose: {use}.",
            f"{n} belongs to {who} and uses {a}. It needs {use} for {said}.",
            f"Give the phone {n} of {who} {use} towards {a}, {said} long.",
        )
    )
    pairs: list[tuple[str, Any]] = [
        (rng.choice(("phone", "number", "dial", "line")), n),
        (rng.choice(("host", "via", "gateway", "relay")), a),
        (rng.choice(("person", "user", "owner")), who),
        (rng.choice(("class", "kind", "type", "plan")), code),
        (rng.choice(("seconds", "length", "time", "expiresIn")), seconds),
    ]
    return text, pairs, listing


def _timer(rng: Random) -> tuple[str, list[tuple[str, Any]], str]:
    said, seconds = values.span(rng)
    thing, at = rng.choice(values.MACHINES), values.clock(rng)
    text = rng.choice(
        (
            f"Set a timer of {said} for the {thing} at {at}.",
            f"At {at} start the {thing} and stop it after {said}.",
            f"The {thing} should run for {said} from {at}.",
            f"{said[0].upper()}{said[1:]} of {thing}, beginning {at}.",
        )
    )
    return (
        text,
        [
            (rng.choice(("device", "machine", "name")), thing),
            (rng.choice(("start", "begin", "at")), at),
            (rng.choice(("seconds", "runTime", "duration", "wait")), seconds),
        ],
        "",
    )


def _parcel(rng: Random) -> tuple[str, list[tuple[str, Any]], str]:
    who, whom = rng.sample(values.PEOPLE, 2)
    thing, city, ident = values.noun(rng), rng.choice(values.PLACES), values.identifier(rng)
    use, code, listing = _choice(rng)
    text = rng.choice(
        (
            f"{who} sends {whom} a {thing} to {city}, number {ident}, {use}.",
            f"Parcel {ident}: a {thing} from {who} for {whom} in {city}; {use}.",
            f"A {thing} ({ident}) goes to {whom} in {city}. {who} says: {use}.",
        )
    )
    return (
        text,
        [
            ("from", who),
            ("to", whom),
            ("item", thing),
            ("city", city),
            (rng.choice(("id", "number", "tracking")), ident),
            (rng.choice(("class", "care", "way")), code),
        ],
        listing,
    )


def _machine(rng: Random) -> tuple[str, list[tuple[str, Any]], str]:
    machine, a, b = rng.choice(values.MACHINES), values.ipv4(rng), values.ipv4(rng)
    p, city = int(values.port(rng)), rng.choice(values.PLACES)
    said, seconds = values.span(rng)
    outside, inside = rng.choice((("public", "private"), ("outside", "inside"), ("wan", "lan")))
    text = rng.choice(
        (
            f"The {machine} in {city} is {a} {outside} and {b} {inside}, port {p}, "
            f"again after {said}.",
            f"{city}: {machine} with {inside} address {b} and {outside} address {a}; port {p}; "
            f"{said}.",
            f"Ask the {machine} ({outside} {a}, {inside} {b}) in {city} on port {p} for {said}.",
        )
    )
    return (
        text,
        [
            (rng.choice(("machine", "kind")), machine),
            (outside + rng.choice(("", "Ip", "Host")), a),
            (inside + rng.choice(("", "Ip", "Host")), b),
            ("port", p),
            ("city", city),
            (rng.choice(("seconds", "interval", "timeout")), seconds),
        ],
        "",
    )


STORIES: tuple[tuple[Callable[[Random], tuple[str, list[tuple[str, Any]], str]], int], ...] = (
    (_rule, 6),
    (_call, 5),
    (_timer, 3),
    (_parcel, 2),
    (_machine, 3),
)


def described_object(rng: Random) -> Messages:
    """A story told in plain words; the system message (or the question) lists the keys."""
    makers, weights = zip(*STORIES, strict=True)
    text, pairs, listing = rng.choices(makers, weights)[0](rng)
    if rng.random() < 0.45:
        keep = sorted(rng.sample(range(len(pairs)), rng.randint(1, len(pairs))))
        pairs = [pairs[i] for i in keep]
    if rng.random() < 0.3:
        rng.shuffle(pairs)
    result = _put(rng, pairs, rng.random() < 0.35)
    shape = _shape(result)
    order = rng.choice(("Answer as JSON: {}.", "JSON with {}.", "Keys: {}.", "Write {} as JSON."))
    wish = order.format(shape) + (f" {listing}." if listing else "")
    answer = {"role": "assistant", "content": compact(result)}
    if rng.random() < 0.5:
        return [{"role": "system", "content": wish}, {"role": "user", "content": text}, answer]
    return [{"role": "user", "content": f"{text} {wish}"}, answer]
