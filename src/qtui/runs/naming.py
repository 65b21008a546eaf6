"""Names of runs: `quiet-otter` and the like, easy to say, to type and to tell apart."""

from __future__ import annotations

import re
import time

from qtui.errors import InputError
from qtui.terminal import clean_line

_ADJECTIVES = """
able amber bold brave bright brisk calm clear clever cosy crisp daring deft eager early fair
fleet fond frank fresh gentle glad golden grand happy hardy humble jolly keen kind lively lucid
lucky mellow merry mild modest neat nimble noble patient plain proud quick quiet rapid ready
robust rustic serene sharp silent silver simple sleek smooth solid spry steady still stout sunny
sure swift tidy tranquil true vivid warm wise witty young
"""
_NOUNS = """
badger beaver bison bobcat camel caribou condor coyote crane cricket curlew dolphin dormouse
eagle egret falcon ferret finch gazelle gecko gibbon goshawk grouse hare hazel hedgehog heron
ibex ibis jackal jay kestrel kingfisher kiwi lapwing lark lemur linnet lynx magpie marmot marten
meerkat merlin mole moose newt ocelot orca oriole osprey otter owl panda pelican plover puffin
quail rabbit raven robin salmon seal shrew sparrow squirrel stoat stork swallow swan tapir tern
thrush toucan trout turtle vole walrus weasel wren yak zebra
"""

ID = re.compile(r"(?P<stamp>\d{8}-\d{6})-(?P<name>[A-Za-z0-9][A-Za-z0-9._-]{0,80})")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST = 60


def random_name() -> str:
    """An adjective and a noun."""
    import secrets

    return f"{secrets.choice(_ADJECTIVES.split())}-{secrets.choice(_NOUNS.split())}"


def safe_name(name: str) -> str:
    """`name` as a part of a folder's name: letters, digits, `.`, `_`, `-`; at most 60 of them.

    Raises `InputError` when nothing of it is left.
    """
    import unicodedata

    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    safe = _UNSAFE.sub("-", plain).strip("-._")[:_LONGEST].rstrip("-._")
    if not safe:
        raise InputError(
            f"{clean_line(name, 40)!r} cannot be a run's name: none of its characters can be kept",
            remedy="use letters, digits, '.', '_' or '-'",
        )
    return safe


def name_of(run_id: str) -> str:
    """The id without its time, `quiet-otter`; the id itself where it has none."""
    match = ID.fullmatch(run_id)
    return match["name"] if match else run_id


def stamp(moment: float) -> str:
    """The beginning of an id: UTC, so that names sort by time on every machine."""
    return time.strftime("%Y%m%d-%H%M%S", time.gmtime(moment))
