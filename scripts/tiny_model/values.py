"""Random values that the pre-training text is about: addresses, ids, names, spans of time.

A small model learns to copy and to convert only when the values never repeat, so everything
here is drawn fresh; what is finite (words, names) is mixed into ever new combinations.
"""

from __future__ import annotations

import string
from random import Random


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


PEOPLE = _words(
    "Ana Ben Clara Dev Emma Felix Gita Hugo Iris Jan Kira Leo Mia Noor Omar Pia Quinn Rosa Sam "
    "Tara Uma Vera Will Xenia Yara Zoe Amir Bella Carl Dora Erik Fatima George Hana Ivan Julia "
    "Karl Lena Marco Nina Oscar Paula Ravi Sara Tom Ulla Victor Wanda Yusuf Zara"
)
PLACES = _words(
    "Berlin Paris Madrid Rome Oslo Lima Cairo Delhi Tokyo Quito Dublin Vienna Prague Lisbon "
    "Athens Warsaw Nairobi Lagos Boston Austin Denver Toronto Sydney Seoul Hanoi Zurich Porto "
    "Lyon Turin"
)
THINGS = _words(
    "apple book lamp table bottle camera chair clock coat cup door drum fence flag garden glove "
    "guitar hammer hat house jar key kite ladder letter map mirror needle oven parcel pen phone "
    "picture plant plate radio ring rope ruler scarf shelf shirt shoe spoon stone ticket towel "
    "tower tractor train truck umbrella vase wagon watch wheel window wire boat bridge candle"
)
ADJECTIVES = _words(
    "red blue green yellow black white brown small large old new heavy light clean broken quiet "
    "bright soft tall short round flat empty full warm cold wooden silver plain fast slow"
)
MACHINES = _words(
    "printer camera server router laptop tablet phone sensor drone robot gateway scanner headset "
    "display meter switch pump crane vehicle kiosk terminal modem player console watch bus tram "
    "truck ship ambulance bicycle lift valve turbine antenna speaker projector"
)
KEYS = _words(
    "name id owner host source target address port phone number mail email code label color "
    "size start stop length time seconds timeout delay wait day month city street state "
    "status type kind level speed rate width height weight price count total limit first last "
    "from to via gateway server client device user group role plan profile service network "
    "line channel room floor seat public private local remote main backup app application "
    "item order ticket parcel sensor camera duration period expiry value unit note title "
    "model version key path link site quality queue"
)
DAYS = _words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
MONTHS = _words(
    "January February March April May June July August September October November December"
)
SMALL = _words(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
)
TENS = _words("zero ten twenty thirty forty fifty sixty seventy eighty ninety")


def in_words(number: int) -> str:
    """The English words for 0 to 999."""
    if number < 20:
        return SMALL[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return TENS[tens] + (f"-{SMALL[ones]}" if ones else "")
    hundreds, rest = divmod(number, 100)
    return f"{SMALL[hundreds]} hundred" + (f" and {in_words(rest)}" if rest else "")


def octet(rng: Random) -> int:
    return rng.choice((rng.randrange(256), rng.randrange(256), rng.randrange(100), 0, 10))


def ipv4(rng: Random) -> str:
    """Any dotted quad, private and documentation ranges more often than others."""
    kind = rng.randrange(8)
    tail = f"{rng.randrange(256)}.{rng.randrange(1, 255)}"
    if kind == 0:
        return f"192.168.{tail}"
    if kind == 1:
        return f"10.{rng.randrange(256)}.{tail}"
    if kind == 2:
        return f"172.{rng.randrange(16, 32)}.{tail}"
    if kind == 3:
        return f"{rng.choice(('192.0.2', '198.51.100', '203.0.113'))}.{rng.randrange(1, 255)}"
    return f"{rng.randrange(1, 255)}.{octet(rng)}.{octet(rng)}.{rng.randrange(1, 255)}"


def subnet(rng: Random) -> str:
    return f"{ipv4(rng)}/{rng.choice((8, 16, 20, 24, 24, 25, 26, 27, 28, 29, 30, 32))}"


def digits(rng: Random, low: int, high: int) -> str:
    return "".join(rng.choices(string.digits, k=rng.randint(low, high)))


def phone(rng: Random) -> str:
    return f"+{rng.randrange(1, 1000)}{digits(rng, 6, 10)}"


def port(rng: Random) -> str:
    return str(rng.choice((rng.randrange(1, 65536), rng.randrange(1024, 65536), 443, 5060, 8080)))


def code(rng: Random) -> str:
    """An upper-case label such as QRT_M, PLAN-7 or ZK."""
    letters = "".join(rng.choices(string.ascii_uppercase, k=rng.randint(1, 4)))
    tail = rng.choice((*string.ascii_uppercase, *string.digits, digits(rng, 2, 3)))
    return letters + rng.choice(("_", "_", "-", "")) + tail


def identifier(rng: Random) -> str:
    kind = rng.randrange(5)
    if kind == 0:
        return "".join(rng.choices("0123456789abcdef", k=rng.randint(6, 12)))
    if kind == 1:
        return f"{rng.choice(MACHINES)}-{digits(rng, 2, 4)}"
    if kind == 2:
        return "".join(rng.choices(string.ascii_lowercase, k=rng.randint(3, 8)))
    if kind == 3:
        groups = ("".join(rng.choices("0123456789abcdef", k=rng.randint(1, 4))) for _ in range(4))
        return ":".join(groups)
    return code(rng)


def email(rng: Random) -> str:
    return f"{rng.choice(PEOPLE).lower()}{digits(rng, 0, 3)}@{rng.choice(THINGS)}.example"


def clock(rng: Random) -> str:
    return f"{rng.randrange(24):02}:{rng.randrange(0, 60, 5):02}"


def noun(rng: Random) -> str:
    return f"{rng.choice(ADJECTIVES)} {rng.choice(THINGS)}"


def word(rng: Random) -> str:
    return rng.choice(rng.choice((PEOPLE, PLACES, THINGS, ADJECTIVES, MACHINES, DAYS, MONTHS)))


def number(rng: Random) -> str:
    return digits(rng, 3, 14)


COPYABLE = (
    ipv4, ipv4, phone, phone, phone, port, code, identifier, email, clock, noun, subnet, number,
    word,
)  # fmt: skip


def anything(rng: Random) -> str:
    """One value of any kind, for copying."""
    return rng.choice(COPYABLE)(rng)


def _minutes(rng: Random) -> int:
    return rng.choice((rng.randrange(1, 121), rng.randrange(1, 61), 5 * rng.randrange(1, 37)))


def _hours(rng: Random) -> int:
    return rng.choice((rng.randrange(1, 13), rng.randrange(1, 25), rng.randrange(1, 7)))


def span(rng: Random) -> tuple[str, int]:
    """A length of time as people write it, and the same in seconds."""
    kind = rng.randrange(20)
    if kind < 6:
        n = _minutes(rng)
        unit = rng.choice(("minutes", "minutes", "minutes", "min", "mins"))
        if n == 1:
            return rng.choice((("1 minute", 60), ("a minute", 60), ("one minute", 60)))
        return f"{n} {unit}", n * 60
    if kind < 8:
        n = rng.choice((rng.randrange(2, 61), 5 * rng.randrange(1, 19)))
        return f"{in_words(n)} minutes", n * 60
    if kind < 10:
        n = _hours(rng)
        if n == 1:
            return rng.choice((("1 hour", 3600), ("an hour", 3600), ("one hour", 3600)))
        return f"{n} {rng.choice(('hours', 'hours', 'h'))}", n * 3600
    if kind == 10:
        n = rng.randrange(2, 13)
        return f"{in_words(n)} hours", n * 3600
    if kind == 11:
        n = rng.choice((rng.randrange(2, 1000), 10 * rng.randrange(1, 60), rng.randrange(10, 100)))
        return f"{n} {rng.choice(('seconds', 'seconds', 's', 'sec'))}", n
    if kind == 12:
        n = rng.randrange(2, 100)
        return f"{in_words(n)} seconds", n
    if kind == 13:
        return rng.choice(
            (
                ("half an hour", 1800),
                ("a quarter of an hour", 900),
                ("three quarters of an hour", 2700),
                ("half a minute", 30),
                ("a minute and a half", 90),
                ("half a day", 43200),
                ("a quarter hour", 900),
                ("a full hour", 3600),
                ("a whole day", 86400),
            )
        )
    if kind == 14:
        n = rng.randrange(1, 9)
        if n == 1:
            return rng.choice((("an hour and a half", 5400), ("one and a half hours", 5400)))
        return f"{in_words(n)} and a half hours", n * 3600 + 1800
    if kind == 15:
        n = rng.randrange(1, 9)
        return f"{n}.5 hours", n * 3600 + 1800
    if kind == 16:
        m = 5 * rng.randrange(1, 12)
        return f"an hour and {rng.choice((str(m), in_words(m)))} minutes", 3600 + m * 60
    if kind in {17, 18}:
        h, m = rng.randrange(1, 7), 5 * rng.randrange(1, 12)
        shape = rng.choice(("{h} h {m} min", "{h} hours {m} minutes", "{h} hours and {m} minutes"))
        return shape.format(h=h, m=m).replace("1 hours", "1 hour"), h * 3600 + m * 60
    days = rng.randrange(1, 8)
    return rng.choice(
        (
            ("a day" if days == 1 else f"{in_words(days)} days", days * 86400),
            ("1 day" if days == 1 else f"{days} days", days * 86400),
            ("a week", 604800),
        )
    )
