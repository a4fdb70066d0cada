"""Property tests draw the same examples everywhere and are given the time they need: no test asserts times."""

from hypothesis import settings

settings.register_profile("charrnn", deadline=None, derandomize=True)
settings.load_profile("charrnn")
