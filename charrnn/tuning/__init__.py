"""Choose settings to fit a given time, or by comparison.

`planning.plan` chooses what to train in a given time, `pacing.py` keeps the run on time, and
`comparison.compare` trains several `candidates`.
"""
