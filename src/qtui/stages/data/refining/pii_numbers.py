"""Numbers that belong to somebody: payment cards, IBANs, US social security numbers, telephones.

Each function yields the [start, end) of what it finds, in order. See `pii` for what counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

import phonenumbers
from stdnum import iban as iban_number
from stdnum import luhn, numdb
from stdnum.us import ssn as ssn_number

Span = tuple[int, int]

LONG = re.compile(r"[0-9](?:[ .()/\xa0\u2010-\u2015-]{0,3}[0-9]){6}")
"""Seven digits with little between them: a text without these holds none of the numbers here."""

# The patterns below begin with a digit and look back from there: a search for a digit is many times
# as fast as one that looks back at every character.
_WINDOW = 40
_ID_WORDS = (
    r"order|invoice|ticket|tracking|transaction|ref|reference|id|ids|isbn|issn|ean|upc|sku|serial|"
    r"imei|part|model|case|article|doi|patent|build|version|account|customer|item|code|figure|"
    r"population|page|pages|pp|lot|batch|bestellung|rechnung|auftrag|commande|pedido|timestamp|"
    r"hash|commit|seed|#"
)


def _last_word(text: str, start: int, words: re.Pattern[str]) -> str:
    """The group of `words` that was met last in the text shortly before `start`."""
    last = ""
    for match in words.finditer(text, max(0, start - _WINDOW), start):
        last = match.lastgroup or ""
    return last


def _words(yes: str) -> re.Pattern[str]:
    # Not behind "[": placeholders of masked text are no words.
    return re.compile(rf"(?<![\w\[])(?:(?P<yes>{yes})|(?P<no>{_ID_WORDS}))(?![^\W\d_])", re.I)


# ---- cards --------------------------------------------------------------------------------------

_CARD = re.compile(
    r"[0-9](?<![\w.+-].)(?:"
    r"[0-9]{3}([ \xa0.-])[0-9]{4}\1[0-9]{4}\1[0-9]{4}(?:\1[0-9]{3})?"
    r"|[0-9]{3}([ \xa0.-])[0-9]{6}\2[0-9]{4,5}"
    r"|(?P<plain>[0-9]{12,18})"
    r")(?!\w|[.-][0-9])"
)
# ISO/IEC 7812 ranges of the networks, and how many digits their numbers have.
_ISSUERS = re.compile(
    r"4(?:[0-9]{12}|[0-9]{15}|[0-9]{18})$"  # Visa
    r"|(?:5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720)[0-9]*(?<=^[0-9]{16})$"  # Mastercard
    r"|3[47][0-9]{13}$"  # American Express
    r"|(?:6011|64[4-9]|65)[0-9]*(?<=^[0-9]{16})$"  # Discover
    r"|35(?:2[89]|[3-8][0-9])[0-9]{12}$"  # JCB
    r"|3(?:0[0-5]|[68][0-9])[0-9]{11}$"  # Diners Club
    r"|62[0-9]{14,17}$"  # UnionPay
    r"|(?:50|5[6-8]|6[0-9])[0-9]{14}$"  # Maestro
)
_CARD_WORDS = _words(
    r"cards?|visa|mastercard|amex|american express|discover|jcb|maestro|credit|debit|cc|cvv|karte|"
    r"kreditkarte|kartennummer|carte|tarjeta|carta|cartão"
)


def cards(text: str) -> Iterator[Span]:
    """Payment card numbers: grouped as on a card, or in one piece and not called something else."""
    for match in _CARD.finditer(text):
        digits = re.sub("[^0-9]", "", match[0])
        if not _ISSUERS.match(digits) or not luhn.is_valid(digits):
            continue
        if match["plain"]:
            word = _last_word(text, match.start(), _CARD_WORDS)
            # One number in ten passes the Luhn check by chance; 13 digits are mostly bar codes.
            if word == "no" or (word != "yes" and len(digits) == 13):
                continue
        yield match.span()


# ---- IBAN ---------------------------------------------------------------------------------------

_IBAN = re.compile(r"[0-9](?<=[A-Za-z]{2}.)(?<![^\W_][A-Za-z]{2}.)[0-9](?=[ \xa0-]?[A-Za-z0-9])")
_IBAN_CHARACTER = re.compile(r"[ \xa0-]?[A-Za-z0-9]")


def ibans(text: str) -> Iterator[Span]:
    """IBANs of every country that has them, with or without spaces."""
    end = 0
    for match in _IBAN.finditer(text):
        start = match.start() - 2
        if start < end:
            continue
        wanted = _iban_length(text[start : start + 2].upper())
        place, seen = match.end(), 4
        while seen < wanted and (character := _IBAN_CHARACTER.match(text, place)):
            place, seen = character.end(), seen + 1
        number = text[start:place].replace("\xa0", " ")
        if seen == wanted and not text[place : place + 1].isalnum() and _is_iban(number):
            end = place
            yield start, place


def _is_iban(number: str) -> bool:
    # The national check digits inside are left out: banks have exceptions to them.
    return number.isascii() and bool(iban_number.is_valid(number, check_country=False))


@cache
def _iban_length(country: str) -> int:
    """Characters of an IBAN of this country; 0: it has none."""
    structure = numdb.get("iban").info(country + "00")[0][1].get("bban", "")
    lengths = re.findall(r"([0-9]+)!?[nac]", structure)
    return 4 + sum(map(int, lengths)) if lengths else 0


# ---- US social security numbers -----------------------------------------------------------------

_SSN = re.compile(r"[0-9](?<![\w.+-].)[0-9]{2}([ -]?)[0-9]{2}\1[0-9]{4}(?!\w|[.-][0-9])")
_SSN_WORDS = _words(r"ssn|ssns|social security|soc\.? sec\.?|social insurance|tax ?id|taxpayer")


def ssns(text: str) -> Iterator[Span]:
    """US social security numbers: with dashes, or in another form behind a word that says so."""
    for match in _SSN.finditer(text):
        if not ssn_number.is_valid(match[0].replace(" ", "-")):
            continue
        word = _last_word(text, match.start(), _SSN_WORDS)
        if word == "yes" or (match[1] == "-" and word != "no"):
            yield match.span()


# ---- telephones ---------------------------------------------------------------------------------

_GAP = r"[ .()/\xa0\u2010-\u2015-]{0,3}"
_PHONE = re.compile(
    r"(?P<number>[+(0-9](?<![\w.#@$€£¥=&%/(+-].)(?:(?<=\()\+?[0-9]|(?<=\+)[0-9]|(?<=[0-9]))"
    rf"(?:{_GAP}[0-9]){{6,16}})"
    r"(?:,? ?(?:ext\.?|extension|x) ?[0-9]{1,6})?(?![\w@%°]|[,:][0-9])"
)
_PHONE_WORDS = _words(
    r"(?:tele|smart|cell|mobile )?phones?(?: number)?|tel|cell|cellular|mobile|call(?:ed|ing)?|fax|"
    r"whatsapp|sms|text(?: me)?|dial|hotline|landline|ring|reach(?: me)?|contact|"
    r"telefon(?:nummer)?|handy(?:nummer)?|mobil|rufnummer|anruf|appelez|t[ée]l|t[ée]l[ée]phone|portable|"
    r"tel[ée]fono|m[óo]vil|celular|telefone|cellulare|ll[áa]m[ae]me|тел|телефон|"
    r"电话|手机|電話|携帯|전화"
)
_REGIONS = (
    *("US", "GB", "DE", "FR", "ES", "IT", "IN", "AU", "BR", "MX", "NL", "JP", "CN", "KR"),
    *("CH", "AT", "BE", "PL", "PT", "SE", "DK", "NO", "TR", "RU", "ZA", "IE", "NZ"),
)
_TRUNK_ZERO = ("GB", "DE", "FR", "IT", "AU", "NL", "JP", "KR", "CH", "AT", "BE", "SE", "ZA", "NZ")
_IN_BRACKETS = ("US", "BR", "GB", "DE", "AU", "MX", "IN", "JP", "ZA", "NZ")
_US_SHAPE = re.compile(
    r"(?:1[-. ])?(?:\([0-9]{3}\) ?[0-9]{3}[-. ]|[0-9]{3}([-. ])[0-9]{3}\1)[0-9]{4}$"
)
_DATE = re.compile(
    r"(?:(?:19|20)[0-9]{2}([./ -])[01]?[0-9]\1[0-3]?[0-9]|[0-3]?[0-9]([./-])[0-3]?[0-9]\2"
    r"(?:(?:19|20)[0-9]{2}|[0-9]{2}))(?![./-]?[0-9])"
)
_YEARS = re.compile(r"(?:19|20)[0-9]{2}[ \u2010-\u2015/-]+(?:19|20)[0-9]{2}$")
_DECIMAL = re.compile(r"\+?[0-9]{4,}\.[0-9]+$")


def phones(text: str) -> Iterator[Span]:
    """Telephone numbers: with a country code, in a national form, or behind a word that says so."""
    for match in _PHONE.finditer(text):
        number = match["number"]
        # One bracket belongs to the sentence: (212-736-5000).
        first = match.start() + (number[0] == "(" and ")" not in number)
        number = text[first : match.end("number")]
        if _is_phone(text, first, match.end("number")):
            yield first, match.end()  # with its extension
            continue
        for start, end in _parts(number, first):
            if _is_phone(text, start, end):
                yield start, end
                break


def _parts(candidate: str, offset: int) -> Iterator[Span]:
    """The candidate without its last or its first group: a neighbour may have got in."""
    last, first = candidate.rfind(" "), candidate.find(" ")
    if last > 0:
        yield offset, offset + last
    # What is left begins with no 0: 8 022 152 059 is one number.
    if first > 0 and candidate[0] not in "+(" and candidate[first + 1] != "0":
        yield offset + first + 1, offset + len(candidate)


def _is_phone(text: str, start: int, end: int) -> bool:
    candidate = text[start:end]
    digits = re.sub("[^0-9]", "", candidate)
    if len(digits) < 7 or any(form.match(candidate) for form in (_DATE, _YEARS, _DECIMAL)):
        return False
    if candidate.count("(") != candidate.count(")") or len(set(digits)) < 3:
        return False
    word = _last_word(text, start, _PHONE_WORDS)
    if "+" in candidate[:2]:
        return _is_international(candidate, word == "yes")
    if word == "no":
        return False
    if candidate.startswith("00"):
        return _valid("+" + candidate[2:].lstrip(" -"), None)
    if _US_SHAPE.match(candidate):
        return word == "yes" or digits[-10:-7] == "555" or _valid(candidate, "US")
    if word == "yes":
        short = re.fullmatch("[0-9]{3}[-. ][0-9]{4}", candidate)
        return bool(short) or any(_valid(candidate, region) for region in _REGIONS)
    if re.match(r"\([0-9]{2,5}\)", candidate):
        return any(_valid(candidate, region) for region in _IN_BRACKETS)
    return _has_trunk_zero(candidate, digits)


def _is_international(candidate: str, called_phone: bool) -> bool:
    if _valid(candidate, None):
        return True
    groups = len(re.findall("[0-9]+", candidate))
    return (called_phone or groups >= 3) and _possible(candidate)


def _has_trunk_zero(candidate: str, digits: str) -> bool:
    """Whether it is as at home where area codes begin with 0: 030 123456, 01 23 45 67 89."""
    groups = re.findall("[0-9]+", candidate)
    if not (9 <= len(digits) <= 12 and 2 <= len(groups) <= 5 and len(groups[0]) >= 2):
        return False
    if digits[0] != "0" or any(len(group) < 2 for group in groups):
        return False
    if len(groups) == 5 and groups == sorted(groups) and groups[-1] <= "50":
        return False  # 03 12 25 33 41 are lottery numbers
    return any(_valid(candidate, region) for region in _TRUNK_ZERO)


def _valid(candidate: str, region: str | None) -> bool:
    number = _parsed(candidate, region)
    return number is not None and phonenumbers.is_valid_number(number)


def _possible(candidate: str) -> bool:
    number = _parsed(candidate, None)
    return number is not None and phonenumbers.is_possible_number(number)


def _parsed(candidate: str, region: str | None) -> phonenumbers.PhoneNumber | None:
    try:
        return phonenumbers.parse(candidate.strip("( "), region)
    except phonenumbers.NumberParseException:
        return None
