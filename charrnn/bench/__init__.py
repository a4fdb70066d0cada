"""How fast this machine trains and samples, what it could do at most, and peers to measure against.

The main way in is `measure.measure`; `machine.py` finds the peak, `peers.py` runs another program.
"""
