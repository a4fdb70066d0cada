"""A run: a network in training, and everything needed to resume it.

The main entry point is `loop.train`; `run.Run` is the run, `run_folder.RunFolder` its files, and
`recovery.py` decides when it goes back to its last good state. `check.py` looks at a text before
training.
"""
