"""Compiled code: arrays in, arrays out. Numba only; nothing here allocates, raises, prints or draws
random numbers.

Callers own every buffer, make each once for a batch shape, and check shapes at the door.
"""
