"""A trained network writes.

The main way in is `generate.generate`, characters from characters. Below it `writer.py` makes ids
from ids, `ensemble.py` does so with several networks, `partition.py` divides the weights among
threads, and `quantization.py` rounds them.
"""
