"""What Python's garbage collector is to look through: what comes and goes, and not too often.

Reference counts free nearly all there is. The collector looks for circles, and where a million rows pass it would look
again and again, each time through all that was imported.
"""

import gc

CREATED = 20_000
"""After so many more lists and the like than were freed it looks (Python's own number is 700)."""


def settle() -> None:
    """Lets what is there now be left alone: a tenth of the time that many rows take (measured on answers)."""
    gc.set_threshold(CREATED, 10, 10)
    gc.freeze()
