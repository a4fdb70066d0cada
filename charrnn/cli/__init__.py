"""The command line: one file for each command, and everything that prints.

The main way in is `main.cli`. Nothing heavy is imported here.
"""

import time

STARTED = time.monotonic()
"""About when the program started; a run planned for a given time counts from here."""
