"""The check of the project's English finds each pattern, and ignores code and quotations."""

import pytest

from tools.english import COMMENT, DESCRIPTION, DOCSTRING, HELD, KINDS, PATTERNS, PROSE, STRING, Pattern, findings, main

EXAMPLES = {
    "anew": ("The poller reads the file anew.", "The poller reads the file again."),
    "mend": ("Setup mends the folder.", "Setup fixes the folder, and amends nothing."),
    "bear": ("The event bears a version.", "The event has a version; the bearer token is separate."),
    "heed": ("The poller heeds the limit.", "The poller respects the limit."),
    "whoever": ("Whoever holds the lease writes.", "The process that holds the lease writes."),
    "in vain": ("Dropbatch tried in vain.", "Dropbatch tried without effect; in vainer words, too."),
    "brought home": ("A batch is\nbrought home once.", "A batch is\ncollected once, and brought to an end."),
    "passing reason": ("It failed for a passing reason.", "It failed temporarily, for a reason that passes."),
    "by itself": ("The job resumes by itself.", "The job resumes automatically, by its id."),
    "asked again": (
        "Rows that fail are asked\nagain.",
        "Rows that fail are retried; people who ask get an answer again.",
    ),
    "where there is none": ("The rate, null where there is none.", "The rate, null if there is none."),
    "so many": ("Wait so many seconds.", "Wait this number of seconds, or as many as fit; how many is told."),
    "stands": ("The value stands in a column.", "The value is in a column, and `{{ a }}` stands for it."),
    "is told": ("The owner is told of it.", "Dropbatch told the owner; the total is the same."),
    "taken for": ("The line is taken for a title.", "The line counts as a title, mistaken for nothing."),
    "is asked to": ("OpenAI is asked to stop.", "Dropbatch asks OpenAI to stop."),
    "is let": ("Defaults are let pass.", "Defaults pass, as a letter does."),
    "but for": ("All rows but for blank ones.", "All rows except blank ones, but forty at most."),
    "all the same": ("To go ahead all the same.", "To go ahead anyway; all the samples."),
    "old word": ("Hold it, lest it is lost.", "Hold it, so that it is not lost, at least there."),
    "is no": (
        "The line is\nno object.",
        "The line is not an object; there is no other line, and it is no longer there.",
    ),
    "behind": ("A number comes behind the name.", "A number comes after the name."),
    "else than": ("The line holds something else than text.", "The line holds something other than text."),
    "is expected, but": ("A text is expected, but a list is there.", "`prompt` must be a text, not a list."),
    "goes on": ("The job goes on.", "The job continues; the lag on it goes once a day."),
    "odd lines": ("There were 3 odd lines.", "There were 3 unmatched answer lines."),
    "what-sentence": ("It ends. What is left is sent.", "It ends. The other rows are sent. What is left?"),
    "semicolons": ("Rows come; batches go; jobs end.", "Rows come; batches go. Jobs end; the table stays."),
    "question opens": ("Whether a job is open.", "Return whether a job is open."),
}
"""For each pattern a text that has it, and one that does not."""


def written(kind: str, text: str) -> tuple[str, str]:
    """Return the name and the source of a file with a text of this kind."""
    match kind:
        case "docstring":
            return "a.py", f'def f() -> None:\n    """{text}"""\n'
        case "comment":
            return "a.py", "a = 1\n" + "".join(f"# {line}\n" for line in text.splitlines())
        case "string":
            return "a.py", f"a = f{text!r}\n" if "{" not in text else f"a = {text!r}\n"
        case "description":
            return "a.yaml", "A:\n  Description: >\n" + "".join(f"    {line}\n" for line in text.splitlines())
    return "a.md", f"# Title\n\n{text}\n"


def names(path: str, source: str) -> list[str]:
    return [found.pattern.name for found in findings(path, source)]


def test_every_pattern_has_its_examples() -> None:
    assert [pattern.name for pattern in PATTERNS] == list(EXAMPLES)


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: pattern.name)
def test_a_pattern_is_found_in_the_bad_example_and_not_in_the_good_one(pattern: Pattern) -> None:
    bad, good = EXAMPLES[pattern.name]
    for kind in KINDS:
        assert (pattern.name in names(*written(kind, bad))) is (kind in pattern.kinds), kind
        assert pattern.name not in names(*written(kind, good)), kind


@pytest.mark.parametrize(
    "text",
    [
        "`anew`",
        "```\nanew\n```",
        "“anew”",
        'He said "written\nanew" once.',
        "https://example.com/anew",
        "[a page](anew)",
        "<anew>",
        "anew.csv",
        "jobs/anew",
        "is_anew",
        "renewed",
    ],
)
def test_code_and_quotations_are_ignored(text: str) -> None:
    assert names("a.md", f"Some words.\n\n{text}\n") == []


def test_a_finding_names_the_line_and_what_to_write() -> None:
    (found,) = findings("a.md", "Some words.\n\n```\ncode\n```\n\nThe file is read\nanew.\n")
    assert str(found) == "a.md:8: anew: again"
    (found,) = findings("a.py", "a = (\n    f'a {1} file is '\n    'read anew.'\n)\n")
    assert (found.line, found.kind) == (2, STRING)
    (found,) = findings("a.py", "a = 1\n\n# The file is read\n# anew.\n")
    assert (found.line, found.kind) == (4, COMMENT)
    (found,) = findings("a.py", 'A = 1\n"""How long a file is\nread anew."""\n')
    assert (found.line, found.kind) == (3, DOCSTRING)
    (found,) = findings("a.json", '{"title": "anew",\n "description": "Read anew."}')
    assert (found.line, found.kind) == (2, DESCRIPTION)


def test_literals_without_a_sentence_are_ignored() -> None:
    assert names("a.py", "a = 'anew'\nb = {'anew': f'{a}anew'}\nanew = 1\n") == []


@pytest.mark.slow
def test_the_texts_that_are_held_are_clean(capsys: pytest.CaptureFixture[str]) -> None:
    assert HELD[PROSE]
    assert main([]) == 0, capsys.readouterr().out
