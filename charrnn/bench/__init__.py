"""Measure how fast this machine trains and samples, its peak, and peers to compare with.

The main entry point is `measure.measure`; `machine.py` measures the peak, `peers.py` runs another
program.
"""
