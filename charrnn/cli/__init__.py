"""The command line: one file for each command, and everything that prints.

The main way in is `main.cli`. Nothing heavy is imported here.
"""

import time

STARTED = time.monotonic()
"""When the program began, nearly: what is planned for a time counts from here."""
