"""How well a network predicts a text.

The main way in is `evaluate.evaluate`; `dynamic.py` lets the network learn from what it has read,
`walk.py` cuts a text into streams for both, and `compression.py` is the opponent, xz.
"""
