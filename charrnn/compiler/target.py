"""The instructions that kernels are compiled for: those of this machine, or fewer if CHARRNN_SIMD
is set.

CHARRNN_SIMD=avx2 excludes AVX-512, CHARRNN_SIMD=none all vector instructions and fused
multiply-adds: for tests, and for machines with unreliable vector units. CHARRNN_SIMD=x86-64-v3
makes code for any processor with AVX2, so that one cache serves different machines. It applies to
everything that Numba compiles in the process. If it is not set, code for any processor is used
where it is cached and code for this one is not; CHARRNN_SIMD=native never uses it.
"""

import os
import platform
from dataclasses import dataclass

from llvmlite import binding
from numba.core import config

from charrnn.compiler.kernel_files import KernelFiles, code_hash
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
PORTABLE = "x86-64-v3"
"""LLVM's name for any processor with AVX2 and what came with it."""
_PORTABLE_FEATURES = ("avx2", "fma", "f16c", "bmi", "bmi2", "lzcnt", "movbe")
CHOICES = ("native", "avx512", "avx2", PORTABLE, "none")


def best_target() -> Target:
    """The widest target that this machine supports."""
    if platform.machine().lower() in ("arm64", "aarch64"):
        return NEON
    features = binding.get_host_cpu_features()
    if features.get("fma") and features.get("avx512f"):
        return AVX512
    return AVX2 if features.get("fma") and features.get("avx2") else SSE


def choose_target(asked: str) -> Target:
    """The target of this name, or the best one for an empty name and for native; Numba then
    compiles for it. Raises `ConfigError`.
    """
    best = best_target()
    if asked in ("", "native", best.name):
        return best
    if asked not in CHOICES:
        raise ConfigError(f"CHARRNN_SIMD must be one of {', '.join(CHOICES)}, not {asked!r}")
    if asked == "none":
        if best is not NEON:  # which is part of the architecture
            config.CPU_NAME, config.CPU_FEATURES = "x86-64", ""
        return NONE
    if asked == PORTABLE and _runs_portable():
        config.CPU_NAME, config.CPU_FEATURES = PORTABLE, ""
        return AVX2
    if asked == "avx2" and best is AVX512:
        features = binding.get_host_cpu_features()
        for name in features:
            if name.startswith(("avx512", "avx10", "evex")):
                features[name] = False
        config.CPU_FEATURES = features.flatten()
        return AVX2
    raise ConfigError(f"CHARRNN_SIMD={asked}: this machine has no {asked} (it has {best.name})")


def _runs_portable() -> bool:
    features = binding.get_host_cpu_features()
    return best_target() in (AVX512, AVX2) and all(map(features.get, _PORTABLE_FEATURES))


def kernel_files(
    target: Target, cpu: str | None = None, features: str | None = None
) -> KernelFiles:
    """The cache of code for this target and LLVM's processor and features, by default this
    machine's.
    """
    if features is None:
        features = binding.get_host_cpu_features().flatten()
    emulated = "bf16 emulated" * EMULATED + "VNNI emulated" * EMULATED_VNNI
    return KernelFiles(
        code_hash(cpu or binding.get_host_cpu_name(), features, str(target), emulated)
    )


def _asked() -> str:
    """What CHARRNN_SIMD asks for; if it is not set, code for any processor if only that is
    cached.
    """
    asked = os.environ.get("CHARRNN_SIMD", "").strip().lower()
    if asked or config.CPU_NAME or config.CPU_FEATURES is not None or not _runs_portable():
        return asked
    if kernel_files(best_target()).exist() or not kernel_files(AVX2, PORTABLE, "").exist():
        return ""
    return PORTABLE


EMULATED = os.environ.get("CHARRNN_BF16") == "emulate"
"""True if products in bfloat16 are computed without its instruction, for tests."""
EMULATED_VNNI = os.environ.get("CHARRNN_VNNI") == "emulate"
"""True if products in int8 are computed without its instruction, for tests."""
TARGET = choose_target(_asked())
IS_PORTABLE = config.CPU_NAME == PORTABLE
"""True if this process uses code for any processor with AVX2."""
FILES = kernel_files(TARGET, config.CPU_NAME, config.CPU_FEATURES)
"""The cache of this process."""


def is_slower() -> bool:
    """True if this process uses code for any processor, without having been asked to, and this one
    could run faster code.
    """
    is_asked = bool(os.environ.get("CHARRNN_SIMD", "").strip())
    return not is_asked and config.CPU_NAME == PORTABLE and best_target() is not TARGET
