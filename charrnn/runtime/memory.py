"""How much memory there is."""

import os
from contextlib import suppress
from pathlib import Path

_CONTROL_GROUP = Path("/sys/fs/cgroup/memory.max")  # of a container


def memory_size() -> int | None:
    """The bytes of memory that this process can have: the machine's, or a container's if that is
    less. None where the system does not tell.
    """
    sizes: list[int] = []
    with suppress(AttributeError, ValueError, OSError):  # Windows has none of these names
        sizes.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    with suppress(ValueError, OSError):
        sizes.append(int(_CONTROL_GROUP.read_text(encoding="ascii")))
    return min(sizes, default=None)
