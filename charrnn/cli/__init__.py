"""The command line. Nothing heavy is imported here."""

import time

STARTED = time.monotonic()
"""When the program began, as good as: what is planned for a time counts from here."""
