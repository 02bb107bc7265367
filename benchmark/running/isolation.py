"""Restores what a cell changes in its process, so that one cell cannot influence the next."""

from __future__ import annotations

import logging
import os
import random
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from benchmark.interruption import handlers_restored

ENVIRONMENT_OF_A_CELL = ("LOCAL_RANK", "RANK", "WORLD_SIZE", "PL_GLOBAL_SEED", "WANDB_RUN_ID", "WANDB_SERVICE")


@contextmanager
def isolated() -> Iterator[None]:
    """Runs one cell, then restores environment, logging, warnings, signals, random state and torch's switches."""
    with ExitStack() as stack:
        for restored in (_environment, _logging, _signals, _random_state, _torch_switches, _no_wandb_run):
            stack.enter_context(restored())
        _silence_progress_of_libraries()
        stack.enter_context(warnings.catch_warnings())
        yield


@contextmanager
def _environment() -> Iterator[None]:
    before, folder = dict(os.environ), os.getcwd()
    for name in ENVIRONMENT_OF_A_CELL:
        os.environ.pop(name, None)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        os.chdir(folder)


@contextmanager
def _logging() -> Iterator[None]:
    known = [logging.getLogger(), *_named_loggers()]
    before = {id(logger): (logger.level, logger.handlers[:], logger.propagate, logger.disabled) for logger in known}
    try:
        yield
    finally:
        for logger in [logging.getLogger(), *_named_loggers()]:
            level, handlers, propagate, disabled = before.get(id(logger), (logging.NOTSET, [], True, False))
            for handler in [handler for handler in logger.handlers if handler not in handlers]:
                logger.removeHandler(handler)
                handler.close()
            if logger.level != level:  # setting one forgets what all loggers know of theirs
                logger.setLevel(level)
            logger.propagate, logger.disabled = propagate, disabled


def _named_loggers() -> list[logging.Logger]:
    return [logger for logger in logging.root.manager.loggerDict.values() if isinstance(logger, logging.Logger)]


@contextmanager
def _signals() -> Iterator[None]:
    hook = sys.excepthook
    try:
        with handlers_restored():
            yield
    finally:
        sys.excepthook = hook


@contextmanager
def _random_state() -> Iterator[None]:
    import numpy as np
    import torch

    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 (libraries use the global state)
    with torch.random.fork_rng():
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002


@contextmanager
def _torch_switches() -> Iterator[None]:
    import torch

    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    deterministic, matmul = torch.are_deterministic_algorithms_enabled(), torch.get_float32_matmul_precision()
    gradient = torch.is_grad_enabled()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_default_dtype(dtype)
        torch.use_deterministic_algorithms(deterministic)
        torch.set_float32_matmul_precision(matmul)
        torch.set_grad_enabled(gradient)


@contextmanager
def _no_wandb_run() -> Iterator[None]:
    """A W&B run that a cell leaves open would swallow the next cell's curves; one from before the cell stays open."""
    before = _wandb_run()
    try:
        yield
    finally:
        if _wandb_run() is not before:
            sys.modules["wandb"].finish()


def _wandb_run() -> object:
    return getattr(sys.modules.get("wandb"), "run", None)


def _silence_progress_of_libraries() -> None:
    """Bars of other libraries would tear ours apart."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
