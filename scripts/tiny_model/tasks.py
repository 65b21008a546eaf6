"""What the tiny model is taught: short conversations, each practising one small skill.

A task is a list of messages that ends with the assistant's answer. The skills are general
ones (copy, look up, convert, choose, write JSON of what is described, order words, count); no
task shows the sample data's own key set, so that fine-tuning has something left to teach.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from tiny_model import values
from tiny_model.objects import described_object, listed_object

Messages = list[dict[str, str]]


def ask(question: str, answer: str, system: str = "") -> Messages:
    """One question and its answer, with a system message where there is one."""
    messages = [{"role": "system", "content": system}] if system else []
    return [
        *messages,
        {"role": "user", "content": question},
        {"role": "assistant", "content": answer},
    ]


def copy(rng: Random) -> Messages:
    """Say a string again, alone or out of a pair."""
    what = values.anything(rng)
    if rng.random() < 0.3:
        what += rng.choice((" ", ", ", " / ")) + values.anything(rng)
    form = rng.choice(
        (
            "Repeat: {}",
            "Copy this exactly: {}",
            "Write {} again.",
            "Say {}",
            "Echo {}",
            "Give me back {} and nothing else.",
            "Put {} in quotes.",
            "{} - repeat it, please.",
            "Write twice: {}",
        )
    )
    if "quotes" in form:
        return ask(form.format(what), f'"{what}"')
    if "twice" in form:
        return ask(form.format(what), f"{what} {what}")
    return ask(form.format(what), what)


LINKS = (
    "The {a} uses {x} and the {b} uses {y}.",
    "{a}: {x}; {b}: {y}.",
    "We gave the {a} {x}, while the {b} got {y}.",
    "{x} belongs to the {a}, {y} to the {b}.",
    "Connect the {a} at {x} to the {b} at {y}.",
    "From {x} (the {a}) it goes to {y} (the {b}).",
    "On the list are the {a} with {x} and the {b} with {y}.",
    "The {b} is {y}. Please note that the {a} is {x}.",
    "{a} {x}, {b} {y}.",
)


def look_up(rng: Random) -> Messages:
    """Two or three things of one kind in a sentence; say which belongs to whom."""
    kind = rng.choice(
        (values.ipv4, values.ipv4, values.phone, values.code, values.identifier, values.port)
    )
    owners = rng.sample(values.MACHINES if rng.random() < 0.7 else values.PEOPLE, 3)
    held = [kind(rng) if rng.random() < 0.7 else values.anything(rng) for _ in owners]
    text = rng.choice(LINKS).format(a=owners[0], b=owners[1], x=held[0], y=held[1])
    count = 2
    if rng.random() < 0.4:
        third = rng.choice(("The {} has {}.", "And {}: {}.", "There is also {} with {}."))
        text += " " + third.format(owners[2], held[2])
        count = 3
    pick = rng.randrange(count)
    question = rng.choice(
        (
            "What does the {} have?",
            "Which one is the {}'s?",
            "And the {}?",
            "Value of {}?",
            "Give the one of the {}.",
        )
    ).format(owners[pick])
    if rng.random() < 0.15:
        return ask(f"{text} Who has {held[pick]}?", owners[pick])
    return ask(f"{text} {question}", held[pick])


def which_address(rng: Random) -> Messages:
    """A sentence with a phone number, addresses and a port; ask for one by its kind."""
    a, b, n, p = values.ipv4(rng), values.ipv4(rng), values.phone(rng), values.port(rng)
    machine = rng.choice(values.MACHINES)
    text = rng.choice(
        (
            f"Call {n} when the {machine} at {a}:{p} loses {b}.",
            f"The {machine} {n} sends to {a} from {b} port {p}.",
            f"{n} reports: {machine} {a}, inside {b}, port {p}.",
            f"Open port {p} on {a} for {n}; inside it is {b}.",
            f"Between {a}:{p} and {b} there is a {machine} with number {n}.",
        )
    )
    pick = rng.choice(("port", "phone number", "first address", "second address", "addresses"))
    first, second = sorted((a, b), key=text.index)
    answer = {
        "port": p,
        "phone number": n,
        "first address": first,
        "second address": second,
        "addresses": f"{first}, {second}",
    }[pick]
    return ask(f"{text} {rng.choice(('What is the', 'Give the', 'Only the'))} {pick}?", answer)


def seconds(rng: Random) -> Messages:
    """A length of time in words, as a number of seconds (or back to minutes)."""
    phrase, n = values.span(rng)
    roll = rng.random()
    if roll < 0.15 and n % 60 == 0:
        return ask(f"How many minutes is {phrase}?", str(n // 60))
    if roll < 0.22 and n % 60 == 0 and n < 7200:
        return ask(f"{n} seconds in minutes?", f"{n // 60} minutes")
    if roll < 0.55:
        form = rng.choice(
            (
                "How many seconds are {}?",
                "Convert to seconds: {}",
                "{} in seconds?",
                "{} =",
                "Seconds in {}?",
                "Write {} as seconds.",
            )
        )
        return ask(form.format(phrase), str(n))
    who, thing = rng.choice(values.PEOPLE), rng.choice(values.MACHINES)
    form = rng.choice(
        (
            f"{who} needs the {thing} for {phrase}. How many seconds is that?",
            f"The {thing} of {who} runs for {phrase} from {values.clock(rng)}. Seconds?",
            f"Keep {values.ipv4(rng)} open for {phrase}. How long in seconds?",
            f"For {phrase}, {who} talks to {rng.choice(values.PEOPLE)}. Give the seconds.",
            f"The call to {values.phone(rng)} took {phrase}. How many seconds?",
            f"{who} rents the {thing} during {phrase}. Time in seconds?",
        )
    )
    return ask(form, str(n))


NEEDS: dict[str, tuple[str, ...]] = {
    "fast answers": (
        "a game", "cloud gaming", "remote driving", "steering a robot", "a live auction",
        "remote surgery", "drone control", "virtual reality", "low latency", "little delay",
        "quick reactions", "a shooter game", "real-time control", "the shortest delay",
        "an augmented reality headset", "an esports match", "low jitter", "stable latency",
    ),
    "little data": (
        "a voice call", "sensor readings", "text messages", "telemetry", "a meter reading",
        "small throughput", "low bandwidth", "status pings", "a chat", "an audio stream",
        "a card payment", "a temperature sensor", "position reports", "only a few bytes",
        "a phone call", "a small data rate", "light traffic",
    ),
    "some data": (
        "a video call", "web browsing", "a video meeting", "medium throughput", "music and maps",
        "a dash camera", "an online lesson", "standard definition video", "a web shop",
        "average bandwidth", "a moderate data rate", "screen sharing", "a photo upload",
        "a medium data rate", "normal traffic", "a video conference",
    ),
    "much data": (
        "4K video", "a file upload", "a backup", "a live broadcast", "large throughput",
        "high bandwidth", "a big download", "ultra HD streaming", "moving a film archive",
        "a high data rate", "heavy traffic", "a software image", "a stadium camera feed",
        "as much bandwidth as possible", "raw camera footage", "a large data rate",
    ),
}  # fmt: skip


def classify(rng: Random) -> Messages:
    """What a use needs, in plain words or by a code that the question itself explains."""
    kind = rng.choice(tuple(NEEDS))
    use = rng.choice(NEEDS[kind])
    if rng.random() < 0.5:
        form = rng.choice(("What does {} need?", "{}: what kind of line?", "Class of {}?"))
        return ask(form.format(use), kind)
    kinds = rng.sample(tuple(NEEDS), rng.randint(2, 4))
    if kind not in kinds:
        kinds[0] = kind
    rng.shuffle(kinds)
    names = [values.code(rng) for _ in kinds]
    listing = rng.choice((", ", "; ", "\n")).join(
        rng.choice((f"{n} = {k}", f"{n}: {k}", f"{n} for {k}"))
        for n, k in zip(names, kinds, strict=True)
    )
    form = rng.choice(
        ("{}. Which one for {}?", "{}. What fits {}?", "Plans: {}. Choose for {}.", "{}. We do {}.")
    )
    return ask(form.format(listing, use), names[kinds.index(kind)])


def choose(rng: Random) -> Messages:
    """An item out of a described list, told by what the list says of it."""
    items = rng.sample(values.THINGS, rng.randint(2, 4))
    traits = rng.sample(values.ADJECTIVES, len(items))
    pick = rng.randrange(len(items))
    if rng.random() < 0.5:
        names = [values.code(rng) for _ in items]
        listing = ", ".join(f"{n} is {t}" for n, t in zip(names, traits, strict=True))
        return ask(f"{listing}. Which is {traits[pick]}?", names[pick])
    listing = ", ".join(f"a {t} {i}" for t, i in zip(traits, items, strict=True))
    if rng.random() < 0.5:
        return ask(f"There is {listing}. What is {traits[pick]}?", f"the {items[pick]}")
    return ask(f"There is {listing}. How is the {items[pick]}?", traits[pick])


def sentence(rng: Random) -> Messages:
    """Who, what, where, when or whom of one sentence."""
    who, whom = rng.sample(values.PEOPLE, 2)
    verb = rng.choice(("gave", "sold", "showed", "sent", "lent", "brought"))
    thing, place, day = values.noun(rng), rng.choice(values.PLACES), rng.choice(values.DAYS)
    text = rng.choice(
        (
            f"On {day}, {who} {verb} {whom} a {thing} in {place}.",
            f"In {place} {who} {verb} {whom} the {thing} on {day}.",
            f"{who} {verb} a {thing} to {whom} on {day} in {place}.",
        )
    )
    question, answer = rng.choice(
        (
            ("Who did it?", who),
            (f"Who {verb} it?", who),
            ("What was it?", f"a {thing}"),
            ("Where was it?", f"in {place}"),
            ("When was it?", f"on {day}"),
            ("Who got it?", whom),
        )
    )
    if rng.random() < 0.3:
        return [
            *ask(f"{text} {question}", answer),
            *ask("And where?", f"in {place}"),
        ]
    return ask(f"{text} {question}", answer)


def handle_words(rng: Random) -> Messages:
    """Count, order, change case, spell, join, take the first or last of a few words."""
    words = [values.word(rng) for _ in range(rng.randint(2, 5))]
    line = " ".join(words)
    question, answer = rng.choice(
        (
            (f"How many words: {line}", str(len(words))),
            (f"Sort: {line}", " ".join(sorted(words, key=str.lower))),
            (f"Reverse the order: {line}", " ".join(reversed(words))),
            (f"First word of: {line}", words[0]),
            (f"Last word of: {line}", words[-1]),
            (f"In capitals: {line}", line.upper()),
            (f"Join with commas: {line}", ",".join(words)),
            (f"As a JSON list: {line}", "[" + ",".join(f'"{w}"' for w in words) + "]"),
            (f"Spell {words[0]}", "-".join(words[0])),
        )
    )
    return ask(question, answer)


def arithmetic(rng: Random) -> Messages:
    """Small sums, and numbers between words and digits."""
    a, b = rng.randrange(100), rng.randrange(100)
    n = rng.randrange(2, 121)
    hours = rng.randrange(1, 25)
    return ask(
        *rng.choice(
            (
                (f"{a} + {b} =", str(a + b)),
                (f"{max(a, b)} - {min(a, b)} =", str(abs(a - b))),
                (f"{n} x 60 =", str(n * 60)),
                (f"{n} times 60?", str(n * 60)),
                (f"{hours} x 3600 =", str(hours * 3600)),
                (f"{n} x 6 =", str(n * 6)),
                (f"Write {n} in words.", values.in_words(n)),
                (f"{values.in_words(n)} in digits?", str(n)),
            )
        )
    )


FACTS = (
    ("Hello!", "Hello! What can I do for you?"),
    ("Hi", "Hi! How can I help?"),
    ("Thank you.", "You are welcome."),
    ("Who are you?", "I am a tiny language model. I copy, convert and write short JSON."),
    ("What can you do?", "I answer short questions, copy text and write JSON."),
    ("How are you?", "I am fine, thank you."),
    ("What colour is the sky?", "The sky is blue."),
    ("What colour is snow?", "Snow is white."),
    ("How many days has a week?", "A week has seven days."),
    ("How many months has a year?", "A year has twelve months."),
    ("How many minutes has an hour?", "An hour has 60 minutes."),
    ("How many seconds has a minute?", "A minute has 60 seconds."),
    ("How many seconds has an hour?", "An hour has 3600 seconds."),
    ("Good night", "Good night!"),
    ("Bye", "Goodbye!"),
    ("What is JSON?", "JSON is a way to write data as keys and values in text."),
    ("What is an IP address?", "A number that names a computer in a network."),
    ("What is latency?", "Latency is the delay before data arrives."),
    ("What is bandwidth?", "Bandwidth is how much data a line carries in a second."),
    ("What is the opposite of large?", "small"),
    ("What is the opposite of slow?", "fast"),
    ("What is the opposite of old?", "new"),
)
SYSTEMS = (
    "You are a helpful assistant.", "Be short.", "Answer in a few words.", "You help people.",
)  # fmt: skip


def talk(rng: Random) -> Messages:
    """Greetings and plain facts."""
    question, answer = rng.choice(FACTS)
    day = rng.randrange(7)
    month = rng.randrange(12)
    if rng.random() < 0.3:
        question, answer = rng.choice(
            (
                (f"What day comes after {values.DAYS[day - 1]}?", values.DAYS[day]),
                (f"What day comes before {values.DAYS[day]}?", values.DAYS[day - 1]),
                (f"What month comes after {values.MONTHS[month - 1]}?", values.MONTHS[month]),
            )
        )
    return ask(question, answer)


SKILLS: tuple[tuple[Callable[[Random], Messages], int], ...] = (
    (copy, 8),
    (look_up, 10),
    (which_address, 6),
    (seconds, 18),
    (classify, 8),
    (choose, 3),
    (sentence, 3),
    (handle_words, 3),
    (arithmetic, 4),
    (talk, 2),
    (listed_object, 12),
    (described_object, 25),
)


def conversation(rng: Random) -> Messages:
    """One task of a random skill; now and then with a system message, or two tasks in a row."""
    makers, weights = zip(*SKILLS, strict=True)
    messages = list(rng.choices(makers, weights)[0](rng))
    if messages[0]["role"] != "system":
        if rng.random() < 0.06:
            messages += [m for m in rng.choices(makers, weights)[0](rng) if m["role"] != "system"]
        if rng.random() < 0.15:
            messages.insert(0, {"role": "system", "content": rng.choice(SYSTEMS)})
    return messages
