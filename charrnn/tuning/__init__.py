"""Choose settings to fit a given time, by comparison, by search, or by a test of learning rates.

`planning.plan` chooses what to train in a given time, and `pacing.py` keeps the run on time.
`comparison.compare` trains several `candidates`, `tune.tune` searches a `space`, and
`lr_find.lr_find` lets the learning rate grow until the loss diverges. `dealing.on_workers` lets the
runs of the first two be trained on other ranks.
"""
