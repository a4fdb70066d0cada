"""`charrnn compile`: fill the cache of kernels, for an image or a cluster."""

import os
import time
from importlib import import_module
from pathlib import Path

import click

from charrnn.cli.kernel_loading import load_kernels
from charrnn.cli.options import json_option
from charrnn.cli.terminal import json_text, one_line, show, size_text
from charrnn.config.settings import CELL_NAMES
from charrnn.errors import CharrnnError

EPILOG = """\b
Examples:
  charrnn compile
  charrnn compile --for-any-cpu --shared            in an image, when it is built
  CHARRNN_CACHE_DIR=/opt/cache charrnn compile      into another folder
"""


@click.command("compile", epilog=EPILOG)
@click.option(
    "--for-any-cpu",
    is_flag=True,
    help="Make code for any x86 processor with AVX2 instead of the best for this one. It is used "
    "where there is no other.",
)
@click.option(
    "--shared",
    is_flag=True,
    help="Put it inside the installed package, for all its users, instead of into your own cache.",
)
@json_option("Print one JSON object: the folder, its kernels, and their size.")
def compile_(for_any_cpu: bool, shared: bool, as_json: bool) -> None:
    """Compile all kernels now, so that no later start has to wait for them.

    Kernels are compiled when they are first needed, once per machine; this is only for images,
    clusters and other people's computers. All users of an installation read what --shared
    wrote, and nobody else needs to be able to write it. Kernels depend on the versions of charrnn,
    Python and Numba: run this again after an update.
    """
    # before the compiler is imported; its second process needs it, too
    target = os.environ.get("CHARRNN_SIMD") or "native"
    os.environ["CHARRNN_SIMD"] = "x86-64-v3" if for_any_cpu else target
    from charrnn.compiler.kernel_files import SHARED

    if shared:
        os.environ["CHARRNN_CACHE_DIR"] = str(SHARED)
    start = time.monotonic()
    paths = _filled()
    size = sum(path.stat().st_size for path in paths)
    folders = sorted({str(path.parent) for path in paths})
    if as_json:
        seconds = round(time.monotonic() - start, 3)
        about = {"folders": folders, "kernels": len(paths), "bytes": size, "seconds": seconds}
        click.echo(json_text(about))
    else:
        places = " and ".join(map(one_line, folders))
        show(f"{len(paths)} kernels, {size_text(size)}, in {places}")


def _filled() -> list[Path]:
    """Compile every kernel that is not in the cache; returns the files of all."""
    from charrnn.compiler import compiling
    from charrnn.compiler.amx import is_there
    from charrnn.compiler.bfloat16 import INSTRUCTION
    from charrnn.compiler.target import EMULATED, FILES

    names = [*CELL_NAMES, *compiling.CHOSEN_MODULES]
    if not (INSTRUCTION or EMULATED):
        names.remove("bf16-training")
    if not is_there():
        names.remove("amx-training")
    separate = [f"charrnn.kernels.{name}" for name in compiling.SEPARATE]
    modules = [*compiling.kernel_modules(*names), *separate]
    kernels = [kernel for module in modules for kernel in compiling.kernels_in(module)]
    if not all(map(FILES.holds, kernels)):
        if FILES.prepare():
            load_kernels(*names)
            for module in separate:
                import_module(module)
        if FILES.trouble is not None:
            raise CharrnnError(
                f"{FILES.trouble}; set CHARRNN_CACHE_DIR to a folder that can be written"
            )
    paths = FILES.paths()
    return [paths[kernel] for kernel in kernels]
