"""UTF-8 to counts and to ids, for texts of hundreds of megabytes.

A block of bytes is examined in three ways, each in a loop without branches, which LLVM turns into
vector code: is it UTF-8, at which bytes do characters begin, and which code point would begin at
each byte. Going character by character costs a mispredicted branch wherever the number of bytes
changes: twice the time in Cyrillic, three times in English with curly quotes.

`data` is a buffer in which 3 zero bytes stand before `start` and 3 after `stop`; data[start:stop]
begins and ends with whole characters, and a CR at its end is not followed by LF. `codes` (B,) and
`begins` (B,) are scratch, B the size of a block.
"""

import numpy as np
from numba import int64, uint8, uint16, uint32

from charrnn.compiler.compiling import inline, kernel

AS_BYTES, AS_THEY_ARE, WITH_LF = 0, 1, 2
"""The modes: each byte is a character; UTF-8; UTF-8 with CRLF and CR as LF."""
PAD = 3
CODES = 0x110000

BYTES = uint8[::1]
SCRATCH = (uint32[::1], uint8[::1])
# a signed index is tested for its sign at each access
U8, U32, INDEX = np.uint8, np.uint32, np.uint64


@inline
def _has_more(a):
    """Whether bytes include one beyond ASCII, and whether they include a CR."""
    high, cr = U8(0), U8(0)
    for byte in a:
        high = U8(high | byte)
        cr = U8(cr | U8(byte == U8(13)))
    return high >= 128, cr == 1


@inline
def _check(r, q, p, a, b, begins):
    """Whether bytes a are UTF-8 (RFC 3629, section 4); begins: 1 where a character begins.

    r, q and p are the bytes 3, 2 and 1 before, b those after. U8 says that a sum is of bytes: Numba
    makes 64 bits of it otherwise, and an eighth of them fits a vector.
    """
    wrong = U8(0)
    for k in range(a.size):
        x, y = a[k], b[k]
        follows = U8(U8(x & U8(0xC0)) == U8(0x80))
        inside = U8(p[k] >= U8(0xC0)) | U8(q[k] >= U8(0xE0)) | U8(r[k] >= U8(0xF0))
        this = follows ^ inside | U8(x == U8(0xC0)) | U8(x == U8(0xC1)) | U8(x >= U8(0xF5))
        this |= U8(x == U8(0xE0)) & U8(y < U8(0xA0)) | U8(x == U8(0xF0)) & U8(
            y < U8(0x90)
        )  # longer than need be
        this |= U8(x == U8(0xED)) & U8(y >= U8(0xA0)) | U8(x == U8(0xF4)) & U8(
            y >= U8(0x90)
        )  # surrogates, above 0x10FFFF
        wrong = U8(wrong | this)
        begins[k] = follows ^ U8(1)
    return wrong == 0


@inline
def _is_whole(data, stop):
    """True if the last character is complete."""
    return data[stop - 1] < 0xC0 and data[stop - 2] < 0xE0 and data[stop - 3] < 0xF0


@inline
def _find(a, b, c, d, codes):
    """The code points that begin at bytes a, where one does; b, c and d are the next bytes."""
    for k in range(a.size):
        x = U32(a[k])
        y, z, w = U32(b[k] & U8(0x3F)), U32(c[k] & U8(0x3F)), U32(d[k] & U8(0x3F))
        code = x
        code = U32(U32((x & U32(0x1F)) << U32(6)) | y) if x >= U32(0xC0) else code
        code = (
            U32(U32((x & U32(0x0F)) << U32(12)) | U32(y << U32(6)) | z) if x >= U32(0xE0) else code
        )
        four = U32(U32((x & U32(0x07)) << U32(18)) | U32(y << U32(12)) | U32(z << U32(6)) | w)
        codes[k] = four if x >= U32(0xF0) else code


@inline
def _take(a, codes, begins):
    """Bytes of ASCII as they are."""
    for k in range(a.size):
        begins[k] = U8(1)
        codes[k] = U32(a[k])


@inline
def _join_lines(p, a, codes, begins):
    """CRLF and CR become LF: the LF of a pair begins no character, and CR becomes LF."""
    for k in range(a.size):
        begins[k] &= U8(1) ^ (U8(a[k] == U8(10)) & U8(p[k] == U8(13)))
        codes[k] = U32(10) if a[k] == U8(13) else codes[k]


@kernel(int64(BYTES, int64, int64, int64, *SCRATCH))
def look(data, start, stop, mode, codes, begins):
    """Looks at data[start:stop]. 1: its bytes are its characters; 0: characters are in codes where
    begins is 1; -1: not UTF-8.
    """
    if mode == AS_BYTES:
        return 1
    beyond_ascii, has_cr = _has_more(
        data[start - 1 : stop]
    )  # the byte before tells of a character, or a CRLF, that began there
    has_cr &= mode == WITH_LF
    if not beyond_ascii and not has_cr:
        return 1
    p, a, b = data[start - 1 : stop - 1], data[start:stop], data[start + 1 : stop + 1]
    if not beyond_ascii:
        _take(a, codes, begins)
    elif _check(data[start - 3 : stop - 3], data[start - 2 : stop - 2], p, a, b, begins):
        _find(a, b, data[start + 2 : stop + 2], data[start + 3 : stop + 3], codes)
    else:
        return -1
    if has_cr:
        _join_lines(p, a, codes, begins)
    return 0


@kernel(int64(BYTES, int64, int64, int64, int64[::1], *SCRATCH))
def count(data, start, stop, mode, counts, codes, begins):
    """Adds how often each code point occurs to counts (0x110000,). Returns the number of
    characters; -1 if it is not UTF-8.
    """
    total = 0
    for first in range(start, stop, codes.size):
        last = min(first + codes.size, stop)
        kind = look(data, first, last, mode, codes, begins)
        if kind < 0:
            return -1
        if kind == 1:
            for k in range(INDEX(first), INDEX(last)):
                counts[data[k]] += 1
            total += last - first
        else:
            for k in range(INDEX(last - first)):
                total += begins[k]
            for k in range(INDEX(last - first)):
                counts[codes[k]] += begins[k]
    return total if mode == AS_BYTES or _is_whole(data, stop) else -1


@inline
def _encode(data, start, stop, mode, table, out, codes, begins):
    most, n = INDEX(out.size), INDEX(0)
    for first in range(start, stop, codes.size):
        last = min(first + codes.size, stop)
        kind = look(data, first, last, mode, codes, begins)
        if kind == 1:
            if n + INDEX(last - first) > most:
                return -1
            for k in range(INDEX(first), INDEX(last)):
                out[n] = table[data[k]]
                n += INDEX(1)
            continue
        if kind < 0:
            return -1
        for k in range(INDEX(last - first)):
            if n < most:  # entries that begin no character are overwritten by the next
                out[n] = table[codes[k]]
            n += INDEX(begins[k])
        if n > most:
            return -1
    return int64(n) if mode == AS_BYTES or _is_whole(data, stop) else -1


@kernel(int64(BYTES, int64, int64, int64, BYTES, BYTES, *SCRATCH))
def encode_small(data, start, stop, mode, table, out, codes, begins):
    """Writes table[c] for each code point c to out (n,) and returns n; -1 if there are more than n,
    or it is not UTF-8.
    """
    return _encode(data, start, stop, mode, table, out, codes, begins)


@kernel(int64(BYTES, int64, int64, int64, uint16[::1], uint16[::1], *SCRATCH))
def encode_wide(data, start, stop, mode, table, out, codes, begins):
    """`encode_small` for ids of two bytes."""
    return _encode(data, start, stop, mode, table, out, codes, begins)
