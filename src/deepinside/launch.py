"""How both scripts begin and end: errors as one line with exit code 2, Ctrl-C and SIGTERM, several processes."""

import errno
import io
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from deepinside.errors import UserError, first_line

# Spinning OpenMP threads slow training down fivefold when anything else uses the CPU. Read when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")  # what Metal lacks is done by the CPU

PATIENCE = 30.0  # seconds; on a busy machine the first process takes a few to end
UNWRITABLE = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.EIO,
    errno.ENAMETOOLONG,
    errno.ELOOP,
)
LEFT_ALONE = "closed by peer", "reset by peer", "remote process exit"  # what gloo and NCCL say where a process ended

ALONE = "another process of this run has ended, so this one does: the reason stands above"
FIRST = "DEEPINSIDE_FIRST"  # the number of the process that others are started by


class Terminated(KeyboardInterrupt):
    """SIGTERM, from `kill`, Slurm or docker: what Ctrl-C does is done."""


def run_script(main: Callable[[list[str]], None]) -> None:
    """Calls `main` with the command line; a UserError becomes one line on stderr and exit code 2, Ctrl-C code 130,
    SIGTERM code 143."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name that the terminal's encoding lacks ends nothing
    first = os.getppid()  # of a further process of this machine: Lightning's first one starts the others
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _terminate)
    if not is_further_process():
        os.environ[FIRST] = str(os.getpid())
    elif os.environ.get(FIRST) == str(first):  # a shell that began processes may end before them
        threading.Thread(target=_follow, args=[first], daemon=True).start()
    try:
        main(sys.argv[1:])
    except (KeyboardInterrupt, SystemExit, RuntimeError) as error:
        if os.environ.get("WORLD_SIZE", "1") != "1" and any(words in str(error) for words in LEFT_ALONE):
            _fail(first, ALONE)
        interrupt = _interrupt(error)
        if interrupt is None:
            raise
        _say_stopped(interrupt)
        sys.exit(143 if isinstance(interrupt, Terminated) else 130)
    except BrokenPipeError:  # `--help | head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except UserError as error:
        _fail(first, str(error))
    except Exception as error:
        if isinstance(error, OSError) and error.errno in UNWRITABLE:
            _fail(first, f"{_first_of_disk(error)}; what was finished before is kept")
        if type(error).__name__ != "MisconfigurationException":  # Lightning's word for a setting that cannot work
            raise
        _fail(first, f"trainer: {first_line(error)}")


def _first_of_disk(error: BaseException | None) -> str:
    """What kept a file from being written, the first time: more such errors follow from it while things are closed."""
    told = ""
    while error is not None:
        if isinstance(error, OSError) and error.errno in UNWRITABLE:
            told = f"{f'{error.filename}: ' if error.filename else ''}{error.strerror}"
        error = error.__cause__ or error.__context__
    return told


def _fail(first: int, words: str) -> NoReturn:
    """Code 2. Where processes share the work, most errors meet all of them: the first one tells them at once, any other
    only when the first has not ended by itself."""
    if is_further_process():
        until = time.monotonic() + PATIENCE
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        while time.monotonic() < until:
            if os.getppid() != first:  # it has ended
                sys.exit(2)
            time.sleep(0.1)
    print(f"error: {words}".replace("error: config error", "config error"), file=sys.stderr, flush=True)
    sys.exit(2)


def _follow(first: int) -> None:
    """Ends this process some time after the first one: on a GPU one that waits for its answer would not notice, and
    wait, and hold the GPU."""
    while os.getppid() == first:
        time.sleep(1)
    time.sleep(PATIENCE)  # it may end by itself
    print(f"error: {ALONE}", file=sys.stderr, flush=True)
    os._exit(2)


def is_further_process() -> bool:
    """Whether another process of this machine does the same and speaks for both."""
    return os.environ.get("LOCAL_RANK", "0") != "0"


@contextmanager
def if_stopped(words: Callable[[], str]) -> Iterator[None]:
    """Ctrl-C and SIGTERM in here end the script with these words: what was saved, and how to go on."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit, RuntimeError) as error:
        interrupt = _interrupt(error)
        if interrupt is None:
            raise
        _hear_no_more()  # the words may take a moment
        raise type(interrupt)(str(interrupt) or words()) from None


def hear_sigterm(*_: object) -> None:
    """Again: the handler that Lightning sets when it begins sends word to all processes, and waits for ever for one
    that waits for something else."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _terminate)


def _terminate(*_: object) -> None:
    _hear_no_more()
    raise Terminated


def _hear_no_more() -> None:
    """A second Ctrl-C while Python ends would print a traceback, a second SIGTERM end what the first began."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _interrupt(error: BaseException) -> KeyboardInterrupt | None:
    """Lightning's Trainer turns Ctrl-C into SystemExit(1), raised while it handles the KeyboardInterrupt. SIGTERM to a
    process group, as from `timeout` and Slurm, ends the workers that read pictures, too, which torch reports first."""
    if isinstance(error, RuntimeError):
        return Terminated() if "killed by signal: Terminated" in str(error) else None
    return next((one for one in (error, error.__context__) if isinstance(one, KeyboardInterrupt)), None)


def _say_stopped(interrupt: KeyboardInterrupt) -> None:
    _hear_no_more()
    if not is_further_process():  # Ctrl-C reaches every process of a terminal
        print(f"stopped: {str(interrupt) or 'the same command starts anew'}", file=sys.stderr)
