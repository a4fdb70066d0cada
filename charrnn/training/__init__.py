"""A run: a network that learns from a text, and all that it goes on from.

The main way in is `loop.train`; `run.Run` is the run, `run_folder.RunFolder` its files, and
`recovery.py` decides when it goes back to its last good state.
"""
