"""The instructions that kernels are compiled for: those of this machine, or fewer if CHARRNN_SIMD
is set.

CHARRNN_SIMD=avx2 excludes AVX-512, CHARRNN_SIMD=none all vector instructions and fused
multiply-adds: for tests, and for machines with unreliable vector units. It applies to everything
that Numba compiles in the process.
"""

import os
import platform
from dataclasses import dataclass

from llvmlite import binding
from numba.core import config

from charrnn.errors import ConfigError


@dataclass(frozen=True)
class Target:
    """Lanes of a float32 vector, vectors across and rows down in a tile of the product, and whether
    fused multiply-add is available.

    rows * vectors sums, `vectors` columns and one broadcast must fit in the registers: 32 with
    AVX-512 and NEON, 16 otherwise. A tile is at least 16 columns wide.
    """

    name: str
    lanes: int
    vectors: int
    rows: int
    is_fused: bool


AVX512, AVX2 = Target("avx512", 16, 2, 14, True), Target("avx2", 8, 2, 6, True)
NEON, SSE, NONE = (
    Target("neon", 4, 4, 6, True),
    Target("sse", 4, 4, 2, False),
    Target("none", 1, 16, 2, False),
)
CHOICES = ("avx512", "avx2", "none")


def best_target() -> Target:
    """The widest target that this machine supports."""
    if platform.machine().lower() in ("arm64", "aarch64"):
        return NEON
    features = binding.get_host_cpu_features()
    if features.get("fma") and features.get("avx512f"):
        return AVX512
    return AVX2 if features.get("fma") and features.get("avx2") else SSE


def choose_target(asked: str) -> Target:
    """The target of this name, or the best one for an empty name; Numba then compiles for it.
    Raises `ConfigError`.
    """
    best = best_target()
    if asked in ("", best.name):
        return best
    if asked not in CHOICES:
        raise ConfigError(f"CHARRNN_SIMD must be one of {', '.join(CHOICES)}, not {asked!r}")
    if asked == "none":
        if best is not NEON:  # which is part of the architecture
            config.CPU_NAME, config.CPU_FEATURES = "x86-64", ""
        return NONE
    if asked == "avx2" and best is AVX512:
        features = binding.get_host_cpu_features()
        for name in features:
            if name.startswith(("avx512", "avx10", "evex")):
                features[name] = False
        config.CPU_FEATURES = features.flatten()
        return AVX2
    raise ConfigError(f"CHARRNN_SIMD={asked}: this machine has no {asked} (it has {best.name})")


TARGET = choose_target(os.environ.get("CHARRNN_SIMD", "").strip().lower())
