"""Texts with personal data planted in them, and with what only looks like it.

Each text is one to four sentences of words drawn from lists (English, German, French, Spanish), and
between them a carrier phrase with one value. Values are generated here from what their issuers
publish (check digits are computed by code of this file, numbers by the lengths and area codes of
the country) and written in the forms that people use, the difficult ones too: without separators,
spelled out ("jane at mail dot org"), without a word that says what it is. Decoys are dates,
versions, order numbers, ISBNs, UUIDs, hashes, coordinates, prices, cards and IBANs with a wrong
check digit, placeholders instead of secrets, and more.
"""

from __future__ import annotations

import base64
import json
import random
import string
import uuid

WORDS = {
    "en": "the river market window early quiet letter garden because under station often walk old "
    "bread morning paper question light winter town music story between answer simple road",
    "de": "der Fluss Markt Fenster früh ruhig Brief Garten weil unter Bahnhof oft gehen alt Brot "
    "Morgen Papier Frage Licht Winter Stadt Musik Geschichte zwischen Antwort einfach Straße",
    "fr": "la rivière marché fenêtre tôt calme lettre jardin parce sous gare souvent marcher vieux "
    "pain matin papier question lumière hiver ville musique histoire entre réponse simple rue",
    "es": "el río mercado ventana temprano tranquilo carta jardín porque bajo estación caminar "
    "viejo pan mañana papel pregunta luz invierno ciudad música historia entre respuesta calle",
}
FIRST = (
    "jane",
    "john",
    "maria",
    "peter",
    "lucía",
    "françois",
    "anna",
    "wei",
    "olga",
    "sven",
    "raj",
)
LAST = (
    "doe",
    "smith",
    "müller",
    "garcía",
    "dubois",
    "nguyen",
    "tanaka",
    "silva",
    "o'neil",
    "brown",
)
HOSTS = ("example.com", "gmail.com", "web.de", "mail.example.co.uk", "uni-berlin.de", "acme.io")


class Maker:
    """Draws values of one seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def pick(self, options):
        return self.random.choice(options)

    def digits(self, count: int) -> str:
        return "".join(self.random.choices(string.digits, k=count))

    def letters(self, count: int, alphabet: str = string.ascii_letters + string.digits) -> str:
        """Random characters, a digit and a letter among them where the alphabet has both."""
        made = self.random.choices(alphabet, k=count)
        if set(alphabet) & set(string.digits) and set(alphabet) & set(string.ascii_letters):
            made[count // 2], made[count // 3] = "7", next(c for c in alphabet if c.isalpha())
        return "".join(made)

    # ---- things to find: (form, value), where the value is exactly what must be masked ----------

    def email(self):
        first, last = self.pick(FIRST), self.pick(LAST)
        plain = (first + last).encode("ascii", "ignore").decode().replace("'", "")
        host = self.pick(HOSTS)
        return self.pick(
            [
                ("name.name", f"{first}.{last}@{host}"),
                ("plain", f"{plain}@{host}"),
                ("digits", f"{plain}{self.digits(2)}@{host}"),
                ("plus", f"{plain}+{self.pick(['news', 'tax', 'x'])}@{host}"),
                ("capitals", f"{first}.{plain}@{host}".title()),
                ("underscore", f"{plain[0]}_{plain}@{host}"),
                ("brackets", f"{plain} [at] {host.replace('.', ' [dot] ')}"),
                ("parentheses", f"{plain}(at){host}"),
                ("spelled out", f"{plain} at {host.replace('.', ' dot ')}"),
            ]
        )

    def phone(self):
        d = self.digits
        us = self.pick(["212", "415", "646", "312", "206", "617"])
        us_last = str(self.random.randint(2, 9)) + d(2)
        de = self.pick(["30", "40", "89", "221", "69"])
        nonzero = str(self.random.randint(1, 9))
        fr = [self.pick("1234567")] + [d(2) for _ in range(4)]
        return self.pick(
            [
                ("US +1", f"+1 ({us}) {us_last}-{d(4)}"),
                ("US +1 plain", f"+1{us}{us_last}{d(4)}"),
                ("US brackets", f"({us}) {us_last}-{d(4)}"),
                ("US dashes", f"{us}-{us_last}-{d(4)}"),
                ("US dots", f"{us}.{us_last}.{d(4)}"),
                ("US spaces", f"{us} {us_last} {d(4)}"),
                ("US plain", f"{us}{us_last}{d(4)}"),
                ("US 555", f"(555) 555-01{d(2)}"),
                ("US extension", f"{us}-{us_last}-{d(4)} ext. {d(3)}"),
                ("DE +49", f"+49 {de} {nonzero}{d(6)}"),
                ("DE +49 (0)", f"+49 (0){de} {nonzero}{d(6)}"),
                ("DE slash", f"0{de}/{nonzero}{d(6)}"),
                ("DE mobile", f"0{self.pick(['151', '160', '171', '175'])} {nonzero}{d(6)}"),
                ("DE 0049", f"0049 {de} {nonzero}{d(6)}"),
                ("FR pairs", "0" + " ".join(fr)),
                ("FR dots", "0" + ".".join(fr)),
                ("FR +33", "+33 " + " ".join(fr)),
                ("GB London", f"020 {self.pick('378')}{d(3)} {d(4)}"),
                ("GB mobile", f"07{self.pick('45789')}{d(2)} {d(6)}"),
                ("GB +44", f"+44 20 7{d(3)} {d(4)}"),
                ("ES +34", f"+34 6{d(2)} {d(3)} {d(3)}"),
                ("ES", f"6{d(2)} {d(3)} {d(3)}"),
                ("IN +91", f"+91 9{d(4)} {d(5)}"),
                ("IN", f"9{d(4)} {d(5)}"),
                ("BR", f"(11) 9{nonzero}{d(3)}-{d(4)}"),
                ("JP", f"03-{self.pick('3567')}{d(3)}-{d(4)}"),
                ("AU", f"04{d(2)} {d(3)} {d(3)}"),
                ("CN +86", f"+86 138 {d(4)} {d(4)}"),
            ]
        )

    def card_number(self) -> str:
        prefix, length = self.pick(
            [
                *(("4", 16), ("51", 16), ("2221", 16), ("6011", 16), ("3530", 16), ("5018", 16)),
                *(("37", 15), ("36", 14), ("622126", 16)),
            ]
        )
        body = prefix + self.digits(length - len(prefix) - 1)
        return body + luhn_digit(body)

    def card(self):
        number = self.card_number()
        if len(number) == 16:
            groups = [number[i : i + 4] for i in range(0, 16, 4)]
        else:
            groups = [number[:4], number[4:10], number[10:]]
        return self.pick(
            [
                ("spaces", " ".join(groups)),
                ("dashes", "-".join(groups)),
                ("plain", number),
                ("no-break spaces", "\xa0".join(groups)),
                ("dots", ".".join(groups)),
            ]
        )

    def iban_number(self) -> str:
        country, body = self.pick(
            [
                ("DE", self.digits(18)),
                ("GB", "WEST" + self.digits(14)),
                (
                    "FR",
                    self.digits(10) + self.letters(11, string.digits + "ABCDEF") + self.digits(2),
                ),
                ("NL", "ABNA" + self.digits(10)),
                ("ES", self.digits(20)),
                ("CH", self.digits(17)),
                ("AT", self.digits(16)),
                ("NO", self.digits(11)),
                ("PL", self.digits(24)),
            ]
        )
        return country + mod97_digits(country, body) + body

    def iban(self):
        number = self.iban_number()
        groups = " ".join(number[i : i + 4] for i in range(0, len(number), 4))
        return self.pick(
            [
                ("spaces", groups),
                ("plain", number),
                ("lower case", number.lower()),
                ("dashes", groups.replace(" ", "-")),
                ("no-break spaces", groups.replace(" ", "\xa0")),
            ]
        )

    def ssn(self):
        area = self.random.choice([n for n in range(1, 900) if n != 666])
        parts = (
            f"{area:03}",
            f"{self.random.randint(1, 99):02}",
            f"{self.random.randint(1, 9999):04}",
        )
        return self.pick(
            [
                ("dashes", "-".join(parts)),
                ("dashes", "-".join(parts)),
                ("spaces", " ".join(parts)),
                ("plain", "".join(parts)),
            ]
        )

    def ip(self):
        first = self.pick([10, 192, 172, 203, 81, 95, 176, 54, 198, 212])
        rest = [self.random.randint(0, 255) for _ in range(3)]
        groups = [f"{self.random.randint(0x1000, 0xFFFF):x}" for _ in range(6)]
        return self.pick(
            [
                ("v4", ".".join(map(str, [first, *rest]))),
                ("v4", ".".join(map(str, [first, *rest]))),
                ("v4 small", ".".join(map(str, [8, self.random.randint(1, 9), 4, 4]))),
                ("v6 full", "2001:db8:" + ":".join(groups)),
                ("v6 short", f"2a02:{groups[0]}::{groups[1]}"),
                ("v6 link-local", f"fe80::{groups[0]}:{groups[1]}"),
                ("v6 capitals", f"2001:DB8::{groups[0].upper()}:{groups[2].upper()}"),
            ]
        )

    def secret(self):
        w = self.letters
        upper = string.ascii_uppercase + string.digits
        jwt = [
            base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
            for part in ({"alg": "HS256", "typ": "JWT"}, {"sub": self.digits(10), "name": w(6)})
        ]
        key = "\n".join(w(64, string.ascii_letters + string.digits + "+/") for _ in range(5))
        kind = self.pick(["RSA ", "EC ", "OPENSSH ", ""])
        return self.pick(
            [
                ("AWS", "AKIA" + w(16, upper)),
                ("GitHub", self.pick(["ghp_", "gho_", "ghs_"]) + w(36)),
                ("GitHub fine", f"github_pat_{w(22)}_{w(59)}"),
                ("GitLab", "glpat-" + w(20)),
                ("Hugging Face", "hf_" + w(34, string.ascii_letters)),
                ("OpenAI", "sk-" + w(48)),
                ("OpenAI project", "sk-proj-" + w(60)),
                ("Slack", f"xoxb-{self.digits(12)}-{self.digits(12)}-{w(24)}"),
                ("Stripe", "sk_live_" + w(24)),
                ("Google", "AIza" + w(35)),
                ("JWT", ".".join([*jwt, w(43)])),
                (
                    "private key",
                    f"-----BEGIN {kind}PRIVATE KEY-----\n{key}\n-----END {kind}PRIVATE KEY-----",
                ),
                ("password=", ("password=", w(12))),
                ("password word", ("pwd: ", f"{self.pick(['Summer', 'Tiger'])}{self.digits(4)}!")),
                ("password words only", ("password: ", "correct-horse-battery")),
                ("api_key quoted", ('api_key = "', w(32), '"')),
                ("env hex", ("SECRET_KEY=", w(40, "0123456789abcdef"))),
                ("json token", ('{"access_token": "', w(40), '"}')),
                ("yaml", ("client_secret: ", w(24))),
                ("url", ("postgres://app:", w(14), "@db.internal:5432/app")),
                ("bearer", ("Authorization: Bearer ", w(40))),
                ("said in words", ("the password is ", w(10))),
                ("no name", w(32)),
            ]
        )

    # ---- what looks like it and is none ---------------------------------------------------------

    def decoy(self):
        d, r = self.digits, self.random
        day, month, year = r.randint(1, 28), r.randint(1, 12), r.randint(1950, 2030)
        card = self.card_number()
        wrong = card[:-1] + str((int(card[-1]) + r.randint(1, 9)) % 10)
        iban = self.iban_number()
        bad_iban = iban[:-1] + str((int(iban[-1]) + r.randint(1, 9)) % 10)
        isbn = "978" + d(9)
        isbn += str(-sum(int(c) * (1, 3)[i % 2] for i, c in enumerate(isbn)) % 10)
        return self.pick(
            [
                ("date", f"{year}-{month:02}-{day:02}"),
                ("date", f"{day:02}.{month:02}.{year}"),
                ("date", f"{month:02}/{day:02}/{year}"),
                ("time", f"{year}-{month:02}-{day:02}T{day:02}:{month:02}:07.{d(6)}Z"),
                ("two dates", f"{day:02}.{month:02}.{year} - {day:02}.{month:02}.{year + 1}"),
                ("years", f"{year}-{year + 4}"),
                ("version", f"version {r.randint(0, 30)}.{d(1)}.{r.randint(0, 200)}.{d(1)}"),
                (
                    "browser",
                    f"Chrome/{r.randint(90, 140)}.0.{r.randint(0, 200)}.{r.randint(0, 99)}",
                ),
                (
                    "section",
                    f"{r.randint(1, 9)}.{r.randint(1, 9)}.{r.randint(1, 9)}.{r.randint(1, 9)}",
                ),
                ("order", f"order {d(3)}-{d(4)}-{d(4)}"),
                ("order", f"order no. {d(10)}"),
                ("invoice", f"invoice {year}-{d(6)}"),
                ("tracking", f"tracking number {d(12)}"),
                ("ISBN", f"ISBN {isbn[:3]}-{isbn[3]}-{isbn[4:6]}-{isbn[6:12]}-{isbn[12]}"),
                ("ISBN", f"ISBN {isbn}"),
                ("bar code", f"EAN 400{d(10)}"),
                ("UUID", str(uuid.UUID(int=r.getrandbits(128)))),
                ("hash", self.letters(40, "0123456789abcdef")),
                ("commit", "commit " + self.letters(12, "0123456789abcdef")),
                ("coordinates", f"{r.uniform(-90, 90):.6f}, {r.uniform(-180, 180):.6f}"),
                ("price", f"${r.randint(1, 999)},{d(3)},{d(3)}.{d(2)}"),
                ("price", f"{r.randint(1, 999)}.{d(3)}.{d(3)},{d(2)} €"),
                ("pages", f"pp. {d(4)}-{d(4)}"),
                ("number", f"{r.randint(1, 9)}{d(9)}"),
                ("number in groups", f"{r.randint(1, 9)} {d(3)} {d(3)} {d(3)}"),
                ("decimals", f"0.{d(14)}"),
                ("sum", f"{d(8)} + {d(8)} = {d(8)}"),
                ("timestamp", f"17{d(11)}"),
                ("lottery", " ".join(f"{n:02}" for n in sorted(r.sample(range(1, 50), 6)))),
                ("wrong card", " ".join(wrong[i : i + 4] for i in range(0, len(wrong), 4))),
                ("wrong card", wrong),
                ("wrong IBAN", bad_iban),
                ("wrong SSN", f"{self.pick(['000', '666', '9' + d(2)])}-{d(2)}-{d(4)}"),
                ("MAC", ":".join(self.letters(2, "0123456789ABCDEF") for _ in range(6))),
                ("clock", f"{day:02}:{month:02}:{r.randint(10, 59)}"),
                ("net mask", "255.255.255.0"),
                ("loopback", self.pick(["127.0.0.1", "0.0.0.0", "::1"])),
                ("OID", f"1.3.6.1.4.1.{d(4)}.2"),
                ("C++", "std::vector<ab::cd>"),
                ("clone", "git@github.com:acme/tools.git"),
                ("retina", f"icon_{d(2)}@2x.png"),
                ("account elsewhere", "@jane@mastodon.social"),
                ("placeholder", self.pick(["api_key=YOUR_API_KEY", "token: <your-token-1>"])),
                ("placeholder", self.pick(["password=xxxxxxxx1", 'secret = "changeme123"'])),
                ("code", "token = tokenizer2.encode(text1)"),
                (
                    "code",
                    self.pick(['key = os.environ["API_KEY_2"]', "password = get_password2()"]),
                ),
                ("password rule", "password: at least 12 characters"),
                ("DOI", f"doi:10.{d(4)}/s{d(5)}-0{d(2)}-{d(5)}-{d(1)}"),
                ("part", f"part no. {d(3)}-{d(2)}-{d(5)}"),
                ("hex dump", " ".join(self.letters(2, "0123456789abcdef") for _ in range(8))),
                ("Unix path", f"/var/log/{d(8)}/{d(4)}.log"),
            ]
        )


def luhn_digit(body: str) -> str:
    """The check digit of ISO/IEC 7812 for the digits before it."""
    total = 0
    for index, digit in enumerate(reversed(body)):
        value = int(digit) * (2 if index % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return str(-total % 10)


def mod97_digits(country: str, body: str) -> str:
    """The two check digits of ISO 13616 for a country and the characters of an account."""
    text = body + country + "00"
    return f"{98 - int(''.join(str(int(c, 36)) for c in text)) % 97:02}"


# Phrases around a value: some say what it is, some do not.
CARRIERS: dict[str, tuple[str, ...]] = {
    "email": ("Write to {} today.", "E-Mail: {}", "Contact {}, please.", "({})", "mailto:{}"),
    "phone": (
        *("Call {} today.", "Tel.: {}", "Phone {}", "Mobile: {}", "Rufnummer {}", "Tél. {}"),
        *("teléfono: {}", "You find us under {} again.", "{}", "Fax {}", "WhatsApp {} works too."),
    ),
    "card": ("Card number {}.", "paid with {}", "Visa {} exp 12/27", "{}", '{{"card": "{}"}}'),
    "iban": (
        "IBAN: {}",
        "to account {} today",
        "{}",
        "Bitte auf {} überweisen.",
        "IBAN {} BIC XYZ",
    ),
    "ssn": ("SSN {}", "Social security number: {}.", "SSN: {}", "his number is {}", "{}"),
    "ip": ("from {} again", "host {}", "Connect to {}.", "http://{}/", "[{}]", "server={}", "{}"),
    "secret": ("{}", "use {} here", "export KEY; {}", "- {}", "`{}`"),
    "decoy": ("{}", "see {} again.", "It says {}, they think.", "({})", "- {}"),
}
KINDS = tuple(kind for kind in CARRIERS if kind != "decoy")


def sentence(make: Maker) -> str:
    words = WORDS[make.pick(list(WORDS))].split()
    text = " ".join(make.pick(words) for _ in range(make.random.randint(8, 24)))
    return text[0].upper() + text[1:] + make.pick([".", ".", "!", "?"])


def planted_text(make: Maker, kind: str) -> tuple[str, str, tuple[int, int]]:
    """A text, the form of what is planted in it, and where."""
    form, value = getattr(make, kind)()
    before, value, *after = value if isinstance(value, tuple) else ("", value)
    left, right = make.pick(CARRIERS[kind]).replace("{{", "\0").replace("}}", "\1").split("{}")
    if kind == "ip" and left.startswith("http") and ":" in value:
        left, right = "http://[", "]/"  # as URLs write version 6
    left = (left + before).replace("\0", "{")
    right = ("".join(after) + right).replace("\1", "}")
    first = " ".join(sentence(make) for _ in range(make.random.randint(1, 2)))
    last = " ".join(sentence(make) for _ in range(make.random.randint(0, 2)))
    start = len(first) + 1 + len(left)
    return f"{first}\n{left}{value}{right}\n{last}", form, (start, start + len(value))
