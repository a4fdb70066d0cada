"""What the rest of the program needs of the operating system.

The main way in is `threads.Workers`, which runs kernels side by side; `cache.py` finds a folder for
what can be made again, and `files.py` writes files whole or not at all.
"""
