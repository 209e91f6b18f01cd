"""The generated parts of pages in Markdown, each between two markers with its name."""


def with_part(page: str, name: str, text: str) -> str:
    """Return the page with this text as its part `name`. Raise a ValueError if it does not have the markers once."""
    begin, end = f"<!-- generated: {name} -->\n", f"<!-- end: {name} -->"
    if page.count(begin) != 1 or page.count(end) != 1:
        raise ValueError(f"the page must have the markers for {name!r} once")
    head, _, rest = page.partition(begin)
    return head + begin + text + "\n" + end + rest.partition(end)[2]
