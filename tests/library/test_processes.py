"""The library in child processes, started in every way that Python knows, after the parent has used
kernels and threads.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import warnings
from contextlib import closing
from typing import Any

import pytest
from llvmlite.binding import ffi

import charrnn
from charrnn import Run, SamplingConfig
from tests.reference.small import digest, small_corpus, small_run, trained

CORPUS = small_corpus()
SAMPLING = SamplingConfig(length=60, seed=3)
SECONDS = 120.0
"""A child that has no answer after this time hangs."""


def everything(run: Run, threads: int) -> tuple[Any, ...]:
    """What a program does with a run: train, measure, write one text and several."""
    trained(run, CORPUS, threads=threads)
    with closing(charrnn.Workers(threads, processors=threads)) as workers:
        losses = charrnn.evaluate(run.model, CORPUS.validation, workers=workers).losses.tobytes()
        text = "".join(charrnn.generate(run.trained, "1", SAMPLING, workers=workers))
        texts = [each.text for each in charrnn.generate_texts(run.trained, 3, "1", SAMPLING)]
    return digest(run), losses, text, texts


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_a_child_computes_what_its_parent_does(method: str) -> None:
    wanted = everything(small_run(CORPUS), 2)
    stop = threading.Event()

    def train_on() -> None:
        while not stop.is_set():
            trained(small_run(CORPUS), CORPUS, threads=2)

    busy = threading.Thread(target=train_on)
    busy.start()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads
            context = multiprocessing.get_context(method)
            with context.Pool(2) as pool:
                runs = [pool.apply_async(everything, (small_run(CORPUS), n)) for n in (1, 2)]
                assert [run.get(SECONDS) for run in runs] == [wanted] * 2
    finally:
        stop.set()
        busy.join()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_child_does_not_need_the_lock_of_llvm() -> None:
    """A thread of the parent may have held it, and never gives it back in the child."""
    wanted = everything(small_run(CORPUS), 2)
    held, forked = threading.Event(), threading.Event()

    def hold() -> None:
        with ffi.lib._lock:
            held.set()
            forked.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            with multiprocessing.get_context("fork").Pool(1) as pool:
                assert pool.apply_async(everything, (small_run(CORPUS), 2)).get(SECONDS) == wanted
    finally:
        forked.set()
        holder.join()
