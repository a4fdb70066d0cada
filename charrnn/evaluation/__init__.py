"""How well a network predicts a text.

The main entry point is `evaluate.evaluate`; `texts.py` scores many short texts, `dynamic.py` lets
the network learn from the text it has read, `memory.py` lets it look up what came before, and
`walk.py` cuts a text into streams for all of them. `score.py` keeps the surprise, rank and entropy
of every character, `passages.py` finds the most surprising passages, `authorship.py` says whose
text it is, and `compression.py` measures xz and PPMd for comparison.
"""
