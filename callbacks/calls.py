"""Calls in further processes: cuts and scores keep one core busy while a GPU waits."""

import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.context import BaseContext
from typing import Any, Generic, TypeVar

from deepinside.errors import UserError

T = TypeVar("T")
AHEAD = 2  # calls that wait for each process
STOPS = (signal.SIGINT, signal.SIGTERM)  # reach every process of a terminal, or of a job
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class Calls(Generic[T]):
    """Answers in the order of their calls, made by `processes` of their own, or at once in this one if there are none.

    Functions, arguments and answers are pickled. As with any processes that are not forked, a script that makes some
    guards what it does by `if __name__ == "__main__"`. UserError where one of them was killed.
    """

    def __init__(self, processes: int) -> None:
        self.processes = processes
        self._waiting: deque[T | Future[bytes]] = deque()
        self._pool: ProcessPoolExecutor | None = None
        if processes:
            self._pool = ProcessPoolExecutor(processes, _context(), _begin)
            with _environment(ONE_THREAD), _deaf():
                for _ in range(processes):  # it starts them one by one, as calls come
                    self._pool.submit(_nothing)

    def add(self, function: Callable[..., T], *arguments: Any) -> None:
        if self._pool is None:
            self._waiting.append(function(*arguments))
        else:  # bytes, as torch would hand tensors over in shared memory, of which containers have little
            with self._told():
                self._waiting.append(self._pool.submit(_call, pickle.dumps((function, arguments))))

    def answers(self, *, all: bool = False) -> Iterator[T]:
        """Those that are ready, or all; and while too many calls wait, those that have to be waited for."""
        while self._waiting:
            first = self._waiting[0]
            if not isinstance(first, Future):
                yield self._waiting.popleft()  # type: ignore[misc]
            elif all or first.done() or len(self._waiting) > AHEAD * self.processes:
                with self._told():
                    answer = pickle.loads(first.result())
                self._waiting.popleft()
                yield answer
            else:
                return

    def close(self) -> None:
        """Calls that have not begun are dropped."""
        self._waiting.clear()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except BrokenProcessPool:
            raise UserError(
                f"one of {self.processes} processes that cut and score has ended: it was killed, perhaps for want of"
                ' memory, or the script lacks `if __name__ == "__main__":`; localisation.workers=0 does without'
            ) from None


def _context() -> BaseContext:
    """Fresh processes, as a fork of one that has threads or a GPU may hang. On Linux they are forks of a fresh one that
    has imported what they need, once for all: by themselves, fifteen would take the memory and the seconds of fifteen.
    """
    if sys.platform != "linux":  # other systems' libraries do not bear forks
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def _begin() -> None:
    """In each process: STOPS are heard by the first one alone, and whatever ends that one ends this one.

    One that ended in the middle of an answer would leave the first one waiting for the rest of it, for ever.
    """
    for number in STOPS:
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_follow, daemon=True).start()


def _follow() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _nothing() -> None:
    pass


def _call(pickled: bytes) -> bytes:
    function, arguments = pickle.loads(pickled)
    return pickle.dumps(function(*arguments))


@contextmanager
def _deaf() -> Iterator[None]:
    """Processes started within do not hear STOPS from their first moment on; this one does at the end."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
