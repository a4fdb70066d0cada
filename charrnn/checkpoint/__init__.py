"""A trained network and its file.

The main entry point is `trained.Trained`: a model, its vocabulary, how its text is read, and its
origin. `mixture.Mixture` is several of them.
"""
