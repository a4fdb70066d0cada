"""From an equation to vector code: what the kernels are written with.

`target.py` knows the machine, `simd.py` emits vector instructions, `lanes.py` holds mathematics
over vectors, and `rows.py` turns an equation into a loop over rows. A kernel is a function under
`compiling.kernel`, the main way in: compiled once on a machine, then loaded from the cache.
`calling.py` lets kernels call one another by address; `companion.py` compiles in a second process.
"""
