"""A trained network writes.

The main entry point is `generate.generate`, which works on characters. Below it, `writer.py` works
on ids, `ensemble.py` does so with several networks, `stopping.py` ends texts, `partition.py`
divides the weights among threads, and `quantization.py` rounds them.
"""
