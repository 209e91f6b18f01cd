"""The length of emulated texts: as long as a model's answers are, so that their tokens and their price are realistic.

A description that says how long a text is ("at most ten words", "one sentence") counts, as it does for a model. Other
texts in JSON have two to ten words, and an answer that is not JSON has one to three hundred tokens.
"""

import random
import re

PHRASE_WORDS = (2, 10)
ANSWER_TOKENS = (100, 300)
MAX_SHARE = 0.6
"""The share of a request's token cap that such an answer takes at most: who sets a cap asks for what fits it."""

SENTENCE_WORDS = (11, 21)

_TEXT = """
a about after all an and answer as at be before but by case day each enough example few first for from good half have
in it its just kind last less like long made many more most much new no not of often on one only or other over part
people place quite rather same short so some such than that the then there these thing this time to two under until use
very was way well were what when which while who with without word work would year
"""
_FILLER = _TEXT.split()

_NUMBERS = {"a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "eight": 8, "ten": 10}
_NUMBER = r"\d+|" + "|".join(_NUMBERS)
_ASKED = re.compile(rf"(at most |up to )?\b({_NUMBER})(?: (?:or|to) ({_NUMBER}))? (word|sentence)s?\b", re.IGNORECASE)


def words_for(description: object, source: random.Random) -> int:
    """Return how many words a text has, by its description."""
    asked = _ASKED.search(description) if isinstance(description, str) else None
    if asked is None:
        return source.randint(*PHRASE_WORDS)
    limit, first, last, unit = asked.groups()
    most = _value(last or first)
    count = source.randint(max(1, round(0.4 * most)), most) if limit else source.randint(_value(first), most)
    if unit.lower() == "word":
        return count
    return sum(source.randint(*SENTENCE_WORDS) for _ in range(count))


def filler(words: int, source: random.Random) -> str:
    """Return this number of words, which say nothing."""
    return " ".join(source.choice(_FILLER) for _ in range(words))


def marked_text(words: int, source: random.Random) -> str:
    """Return a text of this many words that says that it is emulated; two of them are hardly ever the same."""
    number = f"{source.getrandbits(24):06x}"
    if words < 2:
        return f"emu-{number}"
    rest = filler(words - 2, source)
    return f"emulated: {number} {rest}".rstrip()


def _value(written: str) -> int:
    return int(written) if written.isdecimal() else _NUMBERS[written.lower()]
