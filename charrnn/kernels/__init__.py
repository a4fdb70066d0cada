"""Compiled code: arrays in, arrays out. Numba only; nothing here allocates, raises, prints or draws
random numbers.

Callers own every buffer, make each once for a batch shape, and check shapes at the door. In
training the main ways in are `recurrent.forward_layer` and `recurrent.backward_layer`, over the
products of `product.py`; a text is written by `writing.write`.

Arrays are float32 and C-contiguous, columns padded to a multiple of LANES:

    T   steps of time            H   units of a layer
    N   streams side by side     G   gates of a cell, blocks of H columns
    D   columns of an input      V   symbols of the vocabulary
    K   rows of a factor         L   layers

x are inputs, h and c the state, z is W_x x + W_h h' + b and then holds the gates; dx is the
derivative of the loss by x. A kernel's range (start, stop) is of streams, columns or elements: it
writes nothing outside it, so that threads can share the work.
"""
