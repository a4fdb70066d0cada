"""Choosing settings: by the clock, and by comparison.

`planning.plan` chooses what to train in a given time, `pacing.py` keeps to it, and
`comparison.compare` trains several `candidates` side by side.
"""
