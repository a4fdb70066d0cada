"""From files to batches of ids.

The main way in is `corpus.Corpus.read`. `sources.py` opens and decodes, `reading.py` picks one of
the ways of reading, `vocab.py` maps symbols to ids, `documents.py` finds where documents begin,
`cached_ids.py` keeps the ids of large texts, and `streams.py` cuts them into batches.
"""
