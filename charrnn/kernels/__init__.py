"""Compiled code: arrays in, arrays out. Numba only; nothing here allocates, raises, prints or draws
random numbers.

Callers own every buffer, make each once for a batch shape, and check shapes at the door. In
training the main ways in are `recurrent.forward_layer` and `recurrent.backward_layer`, over the
products of `product.py`; a text is written by `writing.write`.
"""
