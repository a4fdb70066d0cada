"""The network: its parameters, its layers, and the forward and backward pass of the stack.

The main entry point is `model.Model`, a configuration and its parameters; `network.Network`
computes its losses and gradients. `cells/` contains the recurrent cells.
"""
