"""The servers of OpenAI's own API, as opposed to other servers of the same API."""

from urllib.parse import urlsplit

OPENAI_HOST = "api.openai.com"
"""OpenAI's host. The hosts of its regions, such as `eu.api.openai.com`, end in the same name."""


def host_of(base_url: str) -> str:
    """Return the host of a base URL, in lower case; empty if it has none."""
    try:
        return urlsplit(base_url).hostname or ""
    except ValueError:
        return ""


def is_openai_host(host: str) -> bool:
    """Return whether a host is OpenAI's own. Only there do its published shutdowns of models and its expiries count."""
    return host == OPENAI_HOST or host.endswith("." + OPENAI_HOST)
