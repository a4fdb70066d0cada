"""From files to batches of ids.

The main entry point is `corpus.Corpus.read`. `sources.py` finds, opens and decodes files,
`reading.py` returns their text in pieces. `stored.py` turns the pieces into ids, `counted.py` does
this faster for large texts, and `characters.py` builds the vocabulary. `vocab.py` maps symbols to
ids, `documents.py` finds where documents begin, `cached_ids.py` caches the ids of large texts, and
`streams.py` cuts them into batches. `findings.py` and what it names say what is wrong with a text.
"""
