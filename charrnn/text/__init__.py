"""From files to batches of ids.

The main way in is `corpus.Corpus.read`. `sources.py` finds, opens and decodes files, `reading.py`
gives their text in pieces. `stored.py` turns these into ids, `counted.py` does it faster for large
texts, `characters.py` makes the vocabulary of either. `vocab.py` maps symbols to ids,
`documents.py` finds where documents begin, `cached_ids.py` keeps the ids of large texts, and
`streams.py` cuts them into batches.
"""
