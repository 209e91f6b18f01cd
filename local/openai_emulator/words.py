"""A small word list, so that an emulated classification is mostly sensible: no model, only counting."""

import re
from collections.abc import Sequence


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_POSITIVE = _words(
    """
    amazing attentive authentic awesome beautiful beautifully best better brilliant brilliantly charming classic
    clear comfortable cool crisp cute delicious delight delightful easily easy enjoy enjoyable enjoyed
    entertaining excellent exceptional fabulous fantastic fast favorite fine flawless flawlessly fresh friendly
    fun funny gem glad good gorgeous great happier happy helpful highly hilarious ideal impressed impressive
    incredible interesting juicy love loved lovely loves loving masterpiece memorable moving nice nicely
    outstanding perfect perfection perfectly phenomenal pleasant pleased pleasure positive priceless
    professional quick reasonable recommend recommended reliable satisfied sharp solid spectacular stars sturdy
    superb sweet talented tasty tender terrific thumbs touching tremendous twice underrated unique well
    wonderful wonderfully works worth worthwhile wow yum yummy
    """
)
_NEGATIVE = _words(
    """
    annoying avoid awful bad badly bland bored boring broke broken burned cheap cheated cold complain crap
    crappy dead defective died difficult dirty disappoint disappointed disappointing disappointment disgrace
    disgusted disgusting dont drag dropped dropping dry dumb embarrassing empty fail failed fails flat flaw
    flawed flaws flimsy forced frustrating garbage gross hardly hate hated horrible insult insulting irritating
    joke junk lack lacked lacking lacks lame lousy mediocre mess money nasty negative never noise nothing
    overcooked overpriced painful pathetic pointless poor poorly predictable problem problems refund return
    returned ridiculous rude sick slow slowest sorry stuck stupid sucked sucks tasteless terrible tired torture
    trash unbelievable uncomfortable unfortunate unfortunately unreliable useless waited waiting warning waste
    wasted weak worse worst worthless wrong zero
    """
)
_NEGATIONS = _words("not no cannot")  # and every word in n't
_WEIGHTS = {**dict.fromkeys(_POSITIVE, 1), **dict.fromkeys(_NEGATIVE, -1), **dict.fromkeys(_NEGATIONS, None)}
_SPAM = _words("buy cash casino click crypto deal free lottery lucky offer prize promo subscribe urgent viagra winner")
_HARM = {
    "harassment": _words("idiot idiots loser moron stupid"),
    "hate": _words("hate hateful racist subhuman vermin"),
    "self-harm": _words("suicidal suicide"),
    "sexual": _words("nude porn sex sexual"),
    "violence": _words("attack bomb kill killed killing murder shoot stab weapon"),
}

_WORD = re.compile(r"[a-z][a-z']*")
_NEGATION_REACH = 3

_MEANINGS = {
    "positive": ("positive", "pos", "good", "happy", "favorable", "favourable", "like", "recommend", "satisfied"),
    "negative": ("negative", "neg", "bad", "unhappy", "unfavorable", "unfavourable", "dislike", "dissatisfied"),
    "neutral": ("neutral", "mixed", "unclear", "unknown", "neither", "other"),
    "spam": ("spam", "junk", "scam"),
    "ham": ("ham", "not_spam", "not spam", "notspam", "legitimate", "no_spam"),
}


def sentiment(text: str) -> int:
    """Return a number above zero for praise, below zero for complaint; negations turn round the words that follow."""
    score = 0
    reach = 0
    lowered = text.lower().replace("’", "'")
    contracted = "n't" in lowered
    for word in _WORD.findall(lowered):
        weight = _WEIGHTS.get(word, 0)
        if weight is None or (contracted and word.endswith("n't")):
            score -= 1 if reach == 0 else 0
            reach = _NEGATION_REACH
            continue
        if weight:
            score += -2 * weight if reach and weight > 0 else weight
        if reach:
            reach -= 1
    return score


def is_spam(text: str) -> bool:
    """Return whether two or more words, or one word and an address, look like advertising."""
    lowered = text.lower()
    hits = len(_SPAM.intersection(_WORD.findall(lowered)))
    return hits >= 2 or (hits == 1 and ("http" in lowered or "!!" in lowered))


def classify(text: str, labels: Sequence[object]) -> object | None:
    """Return the label that the text's words speak for; None if the labels are of no kind known here."""
    meanings = {meaning: label for label in labels if isinstance(label, str) and (meaning := _meaning(label))}
    if "positive" in meanings and "negative" in meanings:
        score = sentiment(text)
        if score == 0 and "neutral" in meanings:
            return meanings["neutral"]
        return meanings["positive" if score > 0 else "negative"]
    if "spam" in meanings and "ham" in meanings:
        return meanings["spam" if is_spam(text) else "ham"]
    return _first_in(text, labels)


def _first_in(text: str, labels: Sequence[object]) -> str | None:
    """Return the first label that the text itself says; None if it says none."""
    lowered = text.lower()
    for label in labels:
        if isinstance(label, str) and len(label) > 2 and label.lower().replace("_", " ") in lowered:
            return label
    return None


def harms(text: str) -> dict[str, int]:
    """Return how many words of each kind of harm the text has."""
    words = set(_WORD.findall(text.lower()))
    return {kind: len(words & listed) for kind, listed in _HARM.items()}


def _meaning(label: str) -> str | None:
    lowered = label.strip().lower()
    return next((meaning for meaning, words in _MEANINGS.items() if lowered in words), None)
