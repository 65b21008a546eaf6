"""Finds secrets in a text: private keys, tokens of well-known services, passwords given to a name.

Tokens have forms that their services publish, so a form is enough. A value that stands behind
"password=" or "api_key:" is a secret when it looks random (letters and digits, few repeated) and
like no placeholder: YOUR_API_KEY, <token>, xxxx, ${TOKEN} and the names of variables are none.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator

Span = tuple[int, int]

# A digit beside a letter: every random token has one, and most prose has none.
_MIXED = re.compile("[0-9](?:(?<=[A-Za-z_][0-9])|(?=[A-Za-z_]))")

# What must be in the text before its form is looked for: looking for a few letters is cheap.
_FORMS: tuple[tuple[tuple[str, ...], re.Pattern[str]], ...] = tuple(
    (marks, re.compile(rf"(?<![A-Za-z0-9_]){form}(?![A-Za-z0-9])"))
    for marks, form in (
        (("AKIA", "ASIA"), r"(?:AKIA|ASIA)[A-Z0-9]{16}"),  # AWS
        (("gh",), r"gh[pousr]_[A-Za-z0-9]{36,255}"),  # GitHub
        (("github_pat_",), r"github_pat_[A-Za-z0-9_]{22,255}"),
        (("glpat-",), r"glpat-[\w-]{20,64}(?:\.[\w.]{2,20})?"),  # GitLab
        (("hf_",), r"hf_[A-Za-z0-9]{30,40}"),  # Hugging Face
        (("sk-",), r"sk-[A-Za-z0-9_-]{20,200}"),  # OpenAI, Anthropic and those that follow them
        (("xox", "xapp-"), r"(?:xox[abeoprs]|xapp)-[A-Za-z0-9-]{10,200}"),  # Slack
        (("hooks.slack.com",), r"https://hooks\.slack\.com/services/[A-Za-z0-9/]{20,100}"),
        (("k_live_", "k_test_"), r"[spr]k_(?:live|test)_[A-Za-z0-9]{16,120}"),  # Stripe
        (("whsec_",), r"whsec_[A-Za-z0-9+/]{24,64}=*"),
        (("AIza",), r"AIza[\w-]{35}"),  # Google
        (("ya29.", "GOCSPX-"), r"(?:ya29\.[\w-]{20,250}|GOCSPX-[\w-]{28})"),
        (("eyJ",), r"eyJ[\w-]{8,1000}\.eyJ[\w-]{8,8000}\.[\w-]{8,2000}"),  # JWT (RFC 7519)
        (("npm_",), r"npm_[A-Za-z0-9]{36}"),
        (("pypi-",), r"pypi-[\w-]{50,300}"),
        (("SG.",), r"SG\.[\w-]{16,32}\.[\w-]{32,64}"),  # SendGrid
        (("dop_v1_",), r"dop_v1_[a-f0-9]{64}"),  # DigitalOcean
        (("shp",), r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}"),  # Shopify
        ((":AA",), r"[0-9]{8,10}:AA[\w-]{32,34}"),  # Telegram bots
        (("AGE-SECRET-KEY-1",), r"AGE-SECRET-KEY-1[A-Z0-9]{58}"),
    )
)
_PRIVATE_KEY = re.compile(
    r"-----BEGIN (?:[A-Z0-9]{1,10} ){0,3}PRIVATE KEY(?: BLOCK)?-----(?:"
    r"(?:(?!-----)[\s\S]){20,20000}-----END (?:[A-Z0-9]{1,10} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
    r"|(?:(?:\s|\\[nr]){0,4}[A-Za-z0-9+/=]{24,200}){1,200})"  # cut off before its end
)
_BASE64 = re.compile("[A-Za-z0-9+/]{24}")
_URL_PASSWORD = re.compile(r"://[^\s:/@\[\]]{1,100}:([^\s/@\[\]]{3,200})@")
_BEARER = re.compile(r"\bBearer\s{1,3}([\w.~+/-]{20,2000}=*)")
_NAMED = re.compile(
    r"(?P<pass>passw(?:or)?d|passwort|passphrase|passcode|contraseña|mot de passe|\bpwd|_pass\b)"
    r"|secret|token|(?:api|access|private|auth|account|encryption|license)[_\- ]?key|apikey",
    re.IGNORECASE,
)
_NAMES = ("pass", "token", "secret", "key", "pwd", "contraseña")
_VALUE = re.compile(
    r"[\w-]{0,20}[\"'`*]{0,3}(?: ?(?::=|=>|==?|:)|\s(?:is|was|ist|es|est)(?=\s))\s{0,3}"
    r"(?:[\"'`*]{1,3})?(?P<value>[^\s\"'`<>,;(){}\[\]|]{6,500})(?P<after>[\"'`(\[]?)"
)
_QUOTES = "\"'`*"
_PLACEHOLDER = re.compile(
    r"your|xxx|example|placeholder|change_?me|insert|dummy|redacted|\*\*\*|\.\.\.|\$\{?[A-Z_]|^%|"
    r"environ|getenv|process\.env|1234567890|^https?:|^/|^\.",
    re.IGNORECASE,
)
_BLANK_TOKEN = re.compile(r"x{4}|X{4}|\*{3}|\.{3}|0{8}|your|YOUR")
_USUAL_PASSWORDS = ("password", "pass", "passwd", "pwd", "secret", "pw", "token")
# Names of variables and files: words with at most three digits at their ends.
_IDENTIFIER = re.compile(r"[A-Za-z]{2,}[0-9]{0,3}(?:[._/-][A-Za-z]{1,}[0-9]{0,3})*$")


def has_without_digits(text: str) -> bool:
    """Whether the text may hold one of the secrets that need no digit beside a letter."""
    return "hf_" in text or "-----BEGIN" in text or ("@" in text and "://" in text)


def find(text: str) -> Iterator[Span]:
    """The [start, end) of every secret in the text, in order, none overlapping another."""
    if not _MIXED.search(text) and not has_without_digits(text):
        return
    end = 0
    for span in sorted(_all(text)):
        if span[0] >= end:
            end = span[1]
            yield span


def _all(text: str) -> Iterator[Span]:
    if "-----BEGIN" in text:
        for match in _PRIVATE_KEY.finditer(text):
            if _BASE64.search(match[0]):
                yield match.span()
    for marks, form in _FORMS:
        if any(mark in text for mark in marks):
            for match in form.finditer(text):
                if not _BLANK_TOKEN.search(match[0]) and _entropy(match[0]) > 2.8:
                    yield match.span()
    if "://" in text and "@" in text:
        for match in _URL_PASSWORD.finditer(text):
            if match[1].lower() not in _USUAL_PASSWORDS and not _PLACEHOLDER.search(match[1]):
                yield match.span(1)
    if "Bearer" in text:
        for match in _BEARER.finditer(text):
            if _looks_random(match[1], 20, 3.0):
                yield match.span(1)
    lower = text.lower()
    if any(word in lower for word in _NAMES):
        yield from _assigned(text)


def _assigned(text: str) -> Iterator[Span]:
    for name in _NAMED.finditer(text):
        match = _VALUE.match(text, name.end())
        if not match:
            continue
        value = match["value"].rstrip("" if match["after"] else ".:*_")
        start = match.start("value")
        quoted = text[start - 1] in _QUOTES
        is_password = name["pass"] is not None
        if match["after"] in ("(", "["):
            continue  # a call or an index: code that gets it from somewhere
        if not quoted and not is_password and _IDENTIFIER.match(value):
            continue
        if _looks_random(value, *((6, 2.2) if is_password else (12, 3.0))):
            yield start, start + len(value)


def _looks_random(value: str, shortest: int, least: float) -> bool:
    """Letters and digits, at least `least` bits of entropy a character, and no placeholder."""
    return (
        len(value) >= shortest
        and any(map(str.isdigit, value))
        and any(map(str.isalpha, value))
        and not _PLACEHOLDER.search(value)
        and _entropy(value) >= least
    )


def _entropy(text: str) -> float:
    """Shannon entropy of the characters of a text, in bits a character."""
    length = len(text)
    return -sum(n / length * math.log2(n / length) for n in Counter(text).values())
