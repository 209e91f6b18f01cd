"""Notifications of every size and character, even those that nobody should ever write."""

from dataclasses import dataclass

from hypothesis import strategies as st

from dropbatch.ports import Letter, Notification

_ANY = st.characters()  # with lone surrogates, controls and noncharacters


def _repeated(*times: int) -> st.SearchStrategy[str]:
    return st.builds(lambda text, many: text * many, st.text(_ANY, min_size=1, max_size=3), st.sampled_from(times))


_SHORT = st.one_of(st.text(_ANY, max_size=30), _repeated(1, 90, 98, 99, 100, 300))
_TEXTS = st.one_of(_SHORT, _repeated(1_024, 5_000, 100_000))
_SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats())
_MANY = st.builds(lambda value, many: [value] * many, st.one_of(_SCALARS, _SHORT), st.sampled_from([3, 100, 3_000]))
_VALUES = st.recursive(
    st.one_of(_SCALARS, _TEXTS, _MANY),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_SHORT, inner, max_size=3)),
    max_leaves=6,
)
_NAMES = st.one_of(st.sampled_from(["schema_version", "job_id", "results", "drop", "problems", "labels"]), _SHORT)


@dataclass(frozen=True, repr=False)  # a megabyte of text in a report does not help
class Generated:
    notification: Notification


def anything() -> st.SearchStrategy[Generated]:
    details = st.dictionaries(_NAMES, _VALUES, max_size=4)
    return st.builds(
        Notification,
        *(_TEXTS for _ in ("event", "status", "folder", "subject", "text")),
        details,
        recipe_folder=st.one_of(st.none(), _TEXTS),
        more_folders=st.lists(_SHORT, max_size=60).map(tuple),
        operators=st.builds(Letter, _TEXTS, _TEXTS),
    ).map(Generated)
