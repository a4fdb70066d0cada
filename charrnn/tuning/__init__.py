"""Choose settings to fit a given time, by comparison, or by a test of learning rates.

`planning.plan` chooses what to train in a given time, `pacing.py` keeps the run on time, and
`comparison.compare` trains several `candidates`, and `lr_find.lr_find` lets the learning rate grow
until the loss diverges.
"""
