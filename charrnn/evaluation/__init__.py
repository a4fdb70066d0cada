"""How well a network predicts a text.

The main entry point is `evaluate.evaluate`; `texts.py` scores many short texts, `dynamic.py` lets
the network learn from the text it has read, `walk.py` cuts a text into streams for all of them, and
`compression.py` measures xz for comparison.
"""
