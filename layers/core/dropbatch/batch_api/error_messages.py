"""Redaction of OpenAI's messages: the part of a message that may leave S3, in OpenAI's own words.

A message may quote the row that it is about. So Dropbatch repeats it only if each of its words is one of OpenAI's usual
words, the name of a parameter, or a name that the caller knows. A quotation has to be such a name alone. Numbers are
masked, because they may be the row's. In doubt a message is not repeated: responses.jsonl has it.
"""

import re
from collections.abc import Collection

from dropbatch.batch_api.parameters import PARAMETERS

MAX_CHARACTERS = 240
"""The maximum length of a redacted message."""

_TERMS = frozenset(
    """
    a about above access account activated active additional additionalproperties advice after again all allowed
    already also an and another answer any api appear apply are argument array as at available azure back be because
    been before below beta between billing body boolean but by call calls can cannot characters chat check class
    code column completion completions configured connection contact contain contains content context could count
    create current currently data default denied deprecated depth describe detail details different dimensions
    disabled do docs documentation does doesn't don't download duplicate each either element elements embedding
    embeddings empty enabled encountered end endpoint enough entries enum error errors every exactly exceed exceeded
    exceeds exist exists expected extra failed false field fields file files filter filtered first flagged following
    for format found from function functions given got greater had has have help high hours however id if ignored
    image images immediately in include including incorrect index information input inputs instead integer internal
    into invalid is issue it item items its json key keys large larger last learn least length less level levels
    limit limits line list long longer longest low made make management many matches maximum may medium message
    messages method min minimal minimum minutes missing model model's models moderation modified modify more most
    multiple must name names nested nesting no none not null number object objects occurred of on once one only open
    openai openai's operation options or order organization other our out output over parameter parameters parse
    parsed part parts pattern patterns per permission permitted plan please policy potentially previous problem
    processing project prompt prompts properties property provide provided quota range rate reached read reasoning
    received reduce refer reference references refused rejected remove repeated request requested requests require
    required requires response responses result resulted results retry return role root rpm safety same schema
    schemas seconds see sent server service set should signing size small some something sorry specific specified
    specify stop stream streaming strict string strings such supplied support supported supports system temporarily
    text than that the their them then there these this those through time to token tokens too tool tools total tpm
    triggering true try trying turn two type types unable undefined unexpected unique unknown unless unrecognized
    unsupported unsupported_value until up upgrade upload url usage use used user using valid validation value
    values verify version video violate violates violating violation was we were what when where which while will
    with within without would xhigh you you've your
    """.split()  # noqa: SIM905  # a list of 400 words reads best as lines of text
)
"""The usual words of OpenAI's messages on requests."""

_NAMES = PARAMETERS | frozenset(
    """
    additionalProperties allOf anyOf batch_expired cache_control conversation finish_reason format function_call
    functions image_url input input_audio input_file input_image input_text instructions json_object json_schema
    oneOf output_text previous_response_id prompt prompt_cache_retention response_format stop_sequences
    stream_options text_format tool_call_id tool_calls
    """.split()  # noqa: SIM905  # as above
)
"""Names in requests, which are not words of English."""

_OWN_URL = re.compile(r"https?://(?:platform|help|developers|cookbook)\.openai\.com(?:/[A-Za-z0-9_#/?=.-]*)?")
_QUOTED = re.compile(r"(?<![A-Za-z0-9])(['\"`])(.*?)\1(?![A-Za-z0-9])")
_TOKEN = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.:/@'-]*[A-Za-z0-9_])?")
_WORD = re.compile(r"[A-Za-z_]+(?:'[a-z]+)?")
_PLAIN = re.compile(r"[\x20-\x7e]+")
_NUMBER = re.compile(r"\d(?:[\d.,]*\d)?")


def redact(message: str, names: Collection[str] = ()) -> str | None:
    """Return a message with its numbers masked, cut to MAX_CHARACTERS; None if it may hold a row's text.

    `names` are those that the caller knows not to be a row's, such as the model's.
    """
    text = " ".join(message.split())
    if not text or len(text) > 10 * MAX_CHARACTERS or not _PLAIN.fullmatch(text):
        return None
    redacted, end = "", 0
    for url in _OWN_URL.finditer(text):
        before = _masked(text[end : url.start()], names)
        if before is None:
            return None
        redacted, end = redacted + before + url[0], url.end()
    rest = _masked(text[end:], names)
    if rest is None:
        return None
    redacted += rest
    return redacted if len(redacted) <= MAX_CHARACTERS else redacted[: MAX_CHARACTERS - 1].rpartition(" ")[0] + " …"


def _masked(text: str, names: Collection[str]) -> str | None:
    """Return a text with its numbers masked; None if a word of it is not known."""
    tokens = [token for token in _TOKEN.findall(text) if token not in names]
    if not all(_is_known(word) for token in tokens for word in _WORD.findall(token)):
        return None
    if not all(_is_name(quoted, names) for _, quoted in _QUOTED.findall(text)):
        return None
    masked = _TOKEN.sub(lambda found: found[0] if found[0] in names else _NUMBER.sub("#", found[0]), text)
    return re.sub("#(?:,#)+", "#", masked)


def _is_known(word: str) -> bool:
    return word.lower() in _TERMS or word in _NAMES


def _is_name(quoted: str, names: Collection[str]) -> bool:
    """Return whether a quotation is one name, such as `messages[0].content`."""
    return quoted in names or re.fullmatch(r"(?:\$\.)?[A-Za-z_][A-Za-z0-9_.\[\]]*|", quoted) is not None
