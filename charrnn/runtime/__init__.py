"""The program's interface to the operating system.

The main entry point is `threads.Workers`, which runs kernels in parallel; `cache.py` manages the
cache folder, and `files.py` writes files atomically.
"""
