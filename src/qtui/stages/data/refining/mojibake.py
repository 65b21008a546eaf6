"""Text that was decoded wrongly ("cafÃ©" for "café"): recognised and repaired by ftfy.

ftfy's own question "is this bad?" costs more than everything else that is done to a row, so it is
asked only where a cheap pattern sees bytes of UTF-8 read as something else. The pattern covers
Windows-1252 and Latin-1, Mac Roman, the DOS code pages 437 and 850, Windows-1250 and 1251; ftfy
decides.
"""

from __future__ import annotations

import re

import ftfy
from ftfy.badness import is_bad

# The bytes 80 to BF, which continue a letter in UTF-8, as Windows-1252 or Latin-1 shows them.
_1252 = "\x80-\xbf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ"
_1250 = "\x80-\xbf€‚„…†‡‰Š‹ŚŤŽŹ‘’“”•–—™š›śťžźˇ˘Ł¤Ą¦§¨©Ş«¬®Ż°±˛ł´µ¶·¸ąş»Ľ˝ľż"
_HINT = re.compile(
    f"[\xc2-\xdf][{_1252}]"
    f"|[\xe0-\xef][{_1252}][{_1252}]"
    f"|\xf0[{_1252}][{_1252}]"
    "|â€|Ã[ \xa0]|ï¿½"
    f"|[ĂÄĹ][{_1250}]"
    "|√[^\\s\\w]|‚Ä|¬[†Æ©∞]"  # Mac Roman
    "|ΓÇ|├[^\\s─-╿]|┬[^\\s─-╿]"  # code pages 437 and 850
    "|Р[°±²³´µ¶·ёє»јЅѕї¤Ђ‚ѓ„…†‡]|С[Ђ‚ѓ„…†‡€‰Љ‹ЊЌЋЏ]|вЂ"  # Windows-1251
)
_CONFIG = ftfy.TextFixerConfig(
    explain=False,
    # What was lost stays as it is; nothing is put in its place.
    replace_lossy_sequences=False,
)


def evidence(text: str) -> str:
    """The first characters in the text that show that it was decoded wrongly; "" if none do."""
    if text.isascii():
        return ""
    hint = _HINT.search(text)
    return hint[0] if hint and is_bad(text) else ""


def fixed(text: str) -> str:
    """The text with what ftfy is sure of decoded anew; the same text when it finds nothing."""
    return ftfy.fix_encoding(text, _CONFIG) if evidence(text) else text
