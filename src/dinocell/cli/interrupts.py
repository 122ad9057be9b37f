"""Ctrl-C and SIGTERM: the first stops a command in order, and a second one ends it at once."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from types import FrameType

STOPPED = 130
"""Exit code of typer after a KeyboardInterrupt."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM)

_SAME_COMMAND = "what is finished is kept, and the same command goes on where it stopped"
_WITH_RESUME = "the epochs that ended are kept, and the same command with --resume goes on after them"
_ADVICE = {
    "segment": _SAME_COMMAND,
    "segment-large": _SAME_COMMAND,
    "serve": "nothing is lost, and the same command serves it again",
    "process": _SAME_COMMAND,
    "synthesize": _SAME_COMMAND,
    "train": _WITH_RESUME,
    "pretrain": _WITH_RESUME,
}
_START_AGAIN = "nothing half-written is left, and the same command starts anew"


@contextmanager
def stopped_in_order() -> Iterator[list[signal.Signals]]:
    """Convert the first Ctrl-C or SIGTERM into a KeyboardInterrupt, and leave the next to the system.

    A signal that the process was started to ignore, as by ``nohup``, stays ignored.

    Yields
    ------
    list of signal
        Empty until one came.
    """
    caught: list[signal.Signals] = []

    def stop(number: int, _: FrameType | None) -> None:
        for each in before:
            signal.signal(each, signal.SIG_DFL)
        caught.append(signal.Signals(number))
        raise KeyboardInterrupt

    here = threading.current_thread() is threading.main_thread()  # no other may set handlers
    ignored = (signal.SIG_IGN, None)
    handlers = {each: signal.getsignal(each) for each in _SIGNALS if here}
    before = {each: handler for each, handler in handlers.items() if handler not in ignored}
    for each in before:
        signal.signal(each, stop)
    try:
        yield caught
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def explain_stop(caught: signal.Signals, arguments: list[str]) -> str:
    """Describe what stopped a command, and how to go on."""
    of_options = [after for before, after in pairwise(arguments) if before == "--log-file"]
    names = (
        argument for argument in arguments if not argument.startswith("-") and argument not in of_options
    )
    name = next(names, "")
    by = "Ctrl-C" if caught == signal.SIGINT else caught.name
    return f"stopped by {by}: {_ADVICE.get(name, _START_AGAIN)}"


def exit_code(caught: signal.Signals) -> int:
    """Return the exit code for a signal, as shells have it: 130 for Ctrl-C, 143 for SIGTERM."""
    return 128 + int(caught)
