"""What Python's garbage collector is to look through, and what the C library is to keep of what was freed.

Reference counts free nearly all there is. The collector looks for circles, and where a million rows pass it would look
again and again, each time through all that was imported. The C library gives what lies free at the end of its heap back
to the kernel, and asks for it again with the next block of a file, each page of which the kernel then clears anew.
"""

import ctypes
import gc

CREATED = 20_000
"""After so many more lists and the like than were freed the collector looks (Python's own number is 700)."""

KEPT_BYTES = 16 << 20
"""So much free memory is kept (glibc begins with 128 KiB)."""

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


def settle() -> None:
    """Lets what is there now be left alone, and memory be used again: a tenth of the time that many rows take, each
    (measured: of bringing answers home, and of reading a raw drop)."""
    gc.set_threshold(CREATED, 10, 10)
    gc.freeze()
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # of glibc, which Lambda has; other libraries have none
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, KEPT_BYTES)
        mallopt(_MMAP_THRESHOLD, KEPT_BYTES)
