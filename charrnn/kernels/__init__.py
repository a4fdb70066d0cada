"""Compiled code: arrays in, arrays out. Numba only; nothing here allocates, raises, prints or draws
random numbers.

Callers own every buffer, allocate each once for a batch shape, and check shapes. In training the
main entry points are `recurrent.forward_layer` and `recurrent.backward_layer`, with the products of
`product.py`; `writing.write` generates text.

Arrays are float32 and C-contiguous, columns padded to a multiple of LANES:

    T   steps of time            H   units of a layer
    N parallel streams G gates of a cell, blocks of H columns
    D   columns of an input      V   symbols of the vocabulary
    K   rows of a factor         L   layers

x are inputs, h and c the state, z is W_x x + W_h h' + b and then holds the gates; dx is the
derivative of the loss with respect to x. A kernel's range (start, stop) is of streams, columns or
elements: it writes nothing outside it, so that threads can share the work.
"""
