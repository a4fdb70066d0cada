"""Property tests draw the same examples everywhere and are given the time they need: no test
asserts times.

Where there is no AVX512-BF16, its arithmetic is tested as plain instructions give it; that is
decided before kernels are imported.
"""

import os

from hypothesis import settings
from llvmlite import binding

settings.register_profile("charrnn", deadline=None, derandomize=True)
settings.load_profile("charrnn")
if not binding.get_host_cpu_features().get("avx512bf16"):
    os.environ["CHARRNN_BF16"] = "emulate"
