"""Finds personal data in a text and masks them; which kinds, and what counts as one, is said here.

A pattern proposes, a check decides: the Luhn digit and the issuer's range for cards, the check
digits and the country's length for IBANs, the ranges of numbers ever given out for US social
security numbers, the numbering plans of Google's libphonenumber for telephones, the address types
of Python's ipaddress. Numbers by themselves are ambiguous, so the words before one count as well:
behind "order no." nothing is a telephone number that does not begin with +.

Addresses set aside for examples (example.com, 192.0.2.1, 555 numbers) count like real ones: who
reads a row cannot tell, and masking one costs nothing. What names no single machine does not
count: loopback, unspecified, multicast and broadcast addresses, net masks and
networks (203.0.113.0/24).

Laws: spans lie inside the text, in order and without overlap; nothing is found any more in a text
that was masked; `mask` changes nothing but the spans; no text makes either raise.
"""

from __future__ import annotations

import ipaddress
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from qtui.stages.data.refining import pii_numbers, secrets

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Pii:
    """One finding: `text[start:end]` is a `kind` of `data.pii_kinds`."""

    kind: str
    start: int
    end: int


KINDS = ("secret", "iban", "card", "email", "ssn", "ip", "phone")
"""All kinds; where two overlap, the earlier one here is meant."""

_NUMBERS = ("iban", "card", "ssn", "phone")
_ROUNDS = 50


def find(text: str, kinds: Iterable[str] = KINDS) -> list[Pii]:
    """All personal data of these kinds in the text, in order, none overlapping another."""
    if not _worth_a_look(text):
        return []
    numbers = pii_numbers.LONG.search(text) is not None
    finders = [
        (kind, _FINDERS[kind])
        for kind in KINDS
        if kind in kinds and (numbers or kind not in _NUMBERS)
    ]
    found = _once(text, finders)
    # A mask brings what stands around it closer together, where a word may then explain a number
    # that it was too far away from; what such a second look finds is found at once.
    for _ in range(_ROUNDS if found else 0):
        more = _once(mask(text, found), finders)
        if not more:
            break
        found = _merged(found, [_in_original(span, found) for span in more])
    return found


def mask(text: str, found: Iterable[Pii]) -> str:
    """The text with a placeholder such as [EMAIL] for each finding."""
    parts = []
    end = 0
    for item in found:
        parts += [text[end : item.start], placeholder(item.kind)]
        end = item.end
    return "".join([*parts, text[end:]])


def placeholder(kind: str) -> str:
    """What stands in a masked text for something of this kind."""
    return f"[{kind.upper()}]"


# A digit beside a letter (tokens), beside a dot or colon and another (addresses), or seven digits
# with little between them (numbers): one search, and most texts have none of these.
_DIGITS = re.compile(
    r"[0-9](?:(?<=[A-Za-z_][0-9])|[A-Za-z_]|[.:][0-9:]"
    r"|(?:[ .()/\xa0\u2010-\u2015-]{0,3}[0-9]){6})"
)


def _worth_a_look(text: str) -> bool:
    return (
        "@" in text
        or _DIGITS.search(text) is not None
        or secrets.has_without_digits(text)
        or _has_written_at(text)
        or _has_spoken_dot(text)
    )


def _once(text: str, finders: list[tuple[str, Callable[[str], Iterator[Span]]]]) -> list[Pii]:
    found: list[Pii] = []
    for kind, finder in finders:
        spans = [Pii(kind, start, end) for start, end in finder(text)]
        if spans:
            found = _with_free(found, spans) if found else spans
    return found


def _with_free(found: list[Pii], more: list[Pii]) -> list[Pii]:
    """`found`, and those of `more` that overlap none of them; both are in order."""
    ends = [item.end for item in found]
    free = []
    for item in more:
        place = bisect_right(ends, item.start)
        if place == len(found) or item.end <= found[place].start:
            free.append(item)
    return sorted([*found, *free], key=lambda item: item.start)


def _in_original(span: Pii, found: list[Pii]) -> Pii:
    """A span of the masked text as one of the text; one that cuts a placeholder takes it in."""
    start, end, shift = span.start, span.end, 0
    for item in found:
        first = item.start + shift
        last = first + len(placeholder(item.kind))
        grown = (last - first) - (item.end - item.start)
        if last <= span.start:
            start = span.start - shift - grown
        elif first <= span.start:
            start = item.start
        if last <= span.end:
            end = span.end - shift - grown
        elif first < span.end:
            end = item.end
        shift += grown
    return Pii(span.kind, start, end)


def _merged(found: list[Pii], more: list[Pii]) -> list[Pii]:
    merged: list[Pii] = []
    for item in sorted([*found, *more], key=lambda item: item.start):
        last = merged[-1] if merged else None
        if last is not None and item.start < last.end:
            merged[-1] = Pii(last.kind, last.start, max(last.end, item.end))
        else:
            merged.append(item)
    return merged


# ---- e-mail -------------------------------------------------------------------------------------

# Letters of scripts that put spaces between words, so that 邮箱是anna@web.de keeps its 邮箱是.
_LETTER = "A-Za-z0-9\xc0-\xd6\xd8-\xf6\xf8-\u024f\u0370-\u052f"
_LOCAL = re.compile(rf"[{_LETTER}_](?:[{_LETTER}_%+&'~-]|\.(?!\.))*$")
_DOMAIN = re.compile(
    rf"(?:[{_LETTER}](?:[{_LETTER}-]{{0,61}}[{_LETTER}])?\.){{1,8}}"
    rf"(?:xn--[a-z0-9-]{{2,40}}|[A-Za-z\xdf-\u024f\u0370-\u052f]{{2,24}})(?![{_LETTER}_]|-[{_LETTER}])"
)
_USERINFO = re.compile(r"://[^\s/@]*$")
_FILE = re.compile(
    r"\.(?:png|jpe?g|gif|svg|webp|bmp|ico|tiff?|pdf|css|js|json|html?|xml|ya?ml|txt|jar|exe)$",
    re.IGNORECASE,
)
_AT = re.compile(r"[\[({] ?[aA][tT] ?[\])}]")
_WRITTEN_AT = re.compile(
    r"(?<![\w.+-])[A-Za-z0-9][\w.+-]{0,63} ?[\[({] ?(?:at|@) ?[\])}] ?"
    r"[A-Za-z0-9-]{1,63}(?: ?(?:\.|[\[({] ?dot ?[\])}]) ?[A-Za-z0-9-]{2,63}){1,5}(?![\w-])",
    re.IGNORECASE,
)
# In so many words only with a usual ending: "we look at the dot in the middle" is none.
_SPOKEN = re.compile(
    r"(?<![\w.+-])[A-Za-z0-9][\w.+-]{0,63} at (?!(?:the|a|an|this|that|each|every|one) )"
    r"[A-Za-z0-9-]{1,63}(?: dot [A-Za-z0-9-]{2,63}){0,3} dot "
    r"(?:com|org|net|edu|gov|info|io|co|eu|uk|de|fr|ch|nl|ca|au|jp|br)(?![\w-])",
    re.IGNORECASE,
)


def _emails(text: str) -> Iterator[Span]:
    at = text.find("@")
    spans: list[Span] = []
    while at >= 0:
        span = _email_around(text, at)
        if span and (not spans or span[0] >= spans[-1][1]):
            spans.append(span)
        at = text.find("@", at + 1)
    written = []
    if _has_written_at(text):
        written += [Pii("email", *match.span()) for match in _WRITTEN_AT.finditer(text)]
    if _has_spoken_dot(text):
        written += [Pii("email", *match.span()) for match in _SPOKEN.finditer(text)]
    if written:
        taken = [Pii("email", *span) for span in spans]
        written = _merged([], written)
        spans = [(item.start, item.end) for item in _with_free(taken, written)]
    yield from spans


def _has_written_at(text: str) -> bool:
    """Whether "name (at) host (dot) org" may be there."""
    return ("(" in text or "[" in text or "{" in text) and _AT.search(text) is not None


def _has_spoken_dot(text: str) -> bool:
    """Whether "name at host dot org" may be there."""
    return " dot " in text and " at " in text


def _email_around(text: str, at: int) -> Span | None:
    domain = _DOMAIN.match(text, at + 1)
    if not domain:
        return None
    first = max(0, at - 64)  # RFC 5321, 4.5.3.1.1
    local = _LOCAL.search(text, first, at)
    if not local or local[0].endswith("."):
        return None
    start = local.start()
    if text[start - 1 : start] == "@" or _FILE.search(domain[0]):
        return None  # @name@server is an account elsewhere; icon@2x.png a file
    if local[0] == "git" and text[domain.end() : domain.end() + 1] in (":", "/"):
        return None  # where to clone from
    if len(local[0]) == 1 and domain.end() - at > 6 and domain[0].find(".") == 1:
        return None  # a @ b.shape, a product of matrices
    if _USERINFO.search(text, max(0, at - 200), at):
        return None  # https://name:password@host
    return start, domain.end()


# ---- IP addresses -------------------------------------------------------------------------------

_V4 = re.compile(
    r"(?<![\w.])[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?!\w|\.\w|-[A-Za-z]|-[0-9]{1,3}(?!\.?[0-9]))"
)
_V6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{1,4})?:[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*(?![\w:])")
# Quick searches for what an address of each version must have.
_DOTTED = re.compile(r"[0-9]\.[0-9]{1,3}\.[0-9]")
_COLONS = re.compile(":[0-9A-Fa-f]{1,4}:")
_VERSION = re.compile(
    r"(?:\b(?:versions?|ver|v|rev|revision|releases?|build|update|firmware|driver|patch|sections?|"
    r"chapter|clause|paragraph|figure|table|oid)[\s.:#\"']*(?:number |no\.? )?(?:is |was |to )?"
    r"|[A-Za-z][\w.]*/|[=~<>!]=\s?|[\^~])$",
    re.IGNORECASE,
)
_PREFIX = re.compile("/([0-9]{1,3})(?![0-9])")
_ADDRESS = re.compile(
    r"(?<!\[)\b(?:ip(?:v4)?|address|adresse|dirección|host|server|servers|dns|gateway|router|ping|"
    r"ssh|curl|subnet|network|resolver|nameserver|client|peer|proxy)\b|://",
    re.IGNORECASE,
)
_GLOBAL_V6 = re.compile(r"[23][0-9a-f]{3}:|f[cd][0-9a-f]{2}:|fe[89ab][0-9a-f]:|64:ff9b:|::ffff:")


def _ips(text: str) -> Iterator[Span]:
    spans = []
    if _DOTTED.search(text):
        spans = [match.span() for match in _V4.finditer(text) if _is_v4(text, *match.span())]
    if "::" in text or _COLONS.search(text):
        for match in _V6.finditer(text):
            address = match[0].rstrip(".:") if not match[0].endswith("::") else match[0]
            end = match.start() + len(address)
            if _is_v6(address) and not _is_network(text, match.start(), end):
                spans.append((match.start(), end))
        spans.sort()
        for index in range(len(spans) - 1, 0, -1):  # ::ffff:192.0.2.1 is one, not two
            if spans[index][0] < spans[index - 1][1]:
                del spans[index]
    yield from spans


def _is_v4(text: str, start: int, end: int) -> bool:
    try:
        address = ipaddress.IPv4Address(text[start:end])
    except ValueError:
        return False
    octets = address.packed
    if address.is_loopback or address.is_multicast or octets[0] == 0 or octets[:1] == b"\xff":
        return False
    if _is_network(text, start, end):
        return False
    before = text[max(0, start - 40) : start]
    if _VERSION.search(before):
        return False
    # 1.2.3.4 may be the number of a section or of a version; 203.0.113.7 hardly.
    return max(octets) >= 20 or _ADDRESS.search(before) is not None


def _is_network(text: str, start: int, end: int) -> bool:
    """Whether this is a network by its number, 203.0.113.0/24, and not a machine in it."""
    prefix = _PREFIX.match(text, end)
    try:
        return (
            prefix is not None
            and ipaddress.ip_network(text[start : prefix.end()]).num_addresses > 2
        )
    except ValueError:
        return False


def _is_v6(text: str) -> bool:
    if not _GLOBAL_V6.match(text.lower()) or not any(map(str.isdigit, text)):
        return False  # a::b is C++ as well
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


_FINDERS: dict[str, Callable[[str], Iterator[Span]]] = {
    "secret": secrets.find,
    "iban": pii_numbers.ibans,
    "card": pii_numbers.cards,
    "email": _emails,
    "ssn": pii_numbers.ssns,
    "ip": _ips,
    "phone": pii_numbers.phones,
}
