"""The form of events on EventBridge's bus: their source, and their `detail-type`, by which rules select them."""

SOURCE = "dropbatch"

DETAIL_TYPES = {
    "accepted": "Job accepted",
    "held": "Job held",
    "rejected": "Job rejected",
    "ended": "Job ended",
    "duplicate": "Duplicate dropped",
    "marker": "Marker processed",
    "recipe": "Recipe checked",
}
"""The `detail-type` of each kind of event."""


def detail_type(event: str) -> str:
    """Return the `detail-type` of an event."""
    return DETAIL_TYPES.get(event, "Job changed")
