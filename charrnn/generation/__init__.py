"""A trained network writes.

The main entry point is `generate.generate`, which works on characters. Below it, `writer.py` works
on ids, `ensemble.py` does so with several networks, `stopping.py` ends texts, `partition.py`
divides the weights among threads, `quantization.py` rounds them, and `work.py` calls the kernel.
`readers.py` puts them together for a prime, `takes.py` writes several texts side by side, and
`short.py` short ones until enough of them pass.
`allowed.py` makes one automaton of a pattern (`expression.py`), words that have to occur and known
words (`lexicon.py`), and `particles.py` keeps the network's probabilities under it.

`cowriter.py` is a session of a network that writes along with a person: `manuscript.py` its text,
`manuscript_file.py` where that is stored, and `continuing.py` what goes on from any place in it.
"""
