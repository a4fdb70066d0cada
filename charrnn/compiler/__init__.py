"""From equations to vector code: the tools that the kernels are written with.

`target.py` describes the machine, `simd.py` emits vector instructions, `lanes.py` provides
mathematics over vectors, and `rows.py` turns an equation into a loop over rows. A kernel is a
function decorated with `compiling.kernel`, the main entry point: compiled once per machine, then
loaded from the cache. `calling.py` lets kernels call one another by address; `companion.py`
compiles in a second process.
"""
