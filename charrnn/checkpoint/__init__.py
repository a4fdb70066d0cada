"""A trained network and its file.

The main way in is `trained.Trained`: a model, its vocabulary, how its text is read, and where it
came from.
"""
