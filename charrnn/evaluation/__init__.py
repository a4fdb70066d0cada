"""How well a network predicts a text.

The main way in is `evaluate.evaluate`; `dynamic.py` lets the network learn from what it has read,
`compression.py` is the opponent, xz.
"""
