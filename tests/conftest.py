"""Property tests draw the same examples everywhere and are given the time they need: no test
asserts times.

Signals are not ignored, as they are below `nohup` or after `&`: tests send them.

Where there is no AVX512-BF16, its arithmetic is tested as plain instructions give it; that is
decided before kernels are imported.
"""

import os
import signal

from hypothesis import settings
from llvmlite import binding

settings.register_profile("charrnn", deadline=None, derandomize=True)
settings.load_profile("charrnn")
if not binding.get_host_cpu_features().get("avx512bf16"):
    os.environ["CHARRNN_BF16"] = "emulate"
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
