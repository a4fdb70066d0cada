"""The network: its parameters, its layers, and a stack of them at work, forward and backward.

The main way in is `model.Model`, a configuration and its parameters; `network.Network` computes
losses and gradients with one. `cells/` holds the recurrent cells.
"""
