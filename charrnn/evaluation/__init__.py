"""How well a network predicts a text.

The main entry point is `evaluate.evaluate`; `dynamic.py` lets the network learn from the text it
has read, `walk.py` cuts a text into streams for both, and `compression.py` measures xz for
comparison.
"""
