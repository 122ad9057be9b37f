"""The command line: one file a command. Each parses, calls one function below, writes, and reports."""

import io
import logging
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from dinocell import __version__
from dinocell.cli.commands import LazyGroup
from dinocell.cli.interrupts import STOPPED, exit_code, explain_stop, stopped_in_order
from dinocell.cli.terminal import WarningHandler, escape_controls
from dinocell.errors import DINOCellError

app = typer.Typer(
    cls=LazyGroup,
    help="Segment cells in microscopy images; train and evaluate the models that do it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"dinocell {__version__}")
        raise typer.Exit


@app.callback()
def _configure(
    context: typer.Context,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what happens.")] = False,
    log_file: Annotated[Path | None, typer.Option(help="Write the log to this file.")] = None,
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    logger = logging.getLogger("dinocell")
    logger.setLevel(logging.INFO if verbose or log_file else logging.WARNING)
    handlers: list[logging.Handler] = [logging.StreamHandler()] if verbose else []
    if not verbose:
        shown = WarningHandler()
        logger.addHandler(shown)
        context.call_on_close(lambda: logger.removeHandler(shown))
    if log_file is not None:
        try:
            handlers.append(_log_to(log_file))
        except (OSError, ValueError) as error:
            typer.echo(
                f"error: cannot write log file {log_file}: {getattr(error, 'strerror', None) or error}",
                err=True,
            )
            raise typer.Exit(1) from error
    for handler in handlers:
        handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s: %(message)s"))
        logger.addHandler(handler)


def _log_to(file: Path) -> logging.Handler:
    """Open a log file; a named pipe without a reader is an error, which opening it would wait for."""
    reader = os.open(file, os.O_WRONLY | os.O_NONBLOCK) if file.is_fifo() else None
    try:
        return logging.FileHandler(file, encoding="utf-8")
    finally:
        if reader is not None:
            os.close(reader)


def _describe(error: OSError) -> str:
    """Describe an error of the system: a name that is too long, a folder that cannot be read."""
    name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else str(error.filename)
    return f"{name:.500}: {error.strerror}, expected a path that can be used: check it, or choose another"


def main() -> None:
    """Run the command line; an error that DINOCell raises is printed as one line, with exit code 1.

    After Ctrl-C or SIGTERM, it prints how to go on and exits with 130 or 143.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a character that a terminal lacks stops nothing
            stream.reconfigure(errors="replace")
    with stopped_in_order() as caught:
        try:
            app()
        except DINOCellError as error:
            typer.echo(f"error: {escape_controls(str(error))}", err=True)
            sys.exit(1)
        except OSError as error:
            if error.filename is None:  # not about a file: a defect of DINOCell
                raise
            typer.echo(f"error: {escape_controls(_describe(error))}", err=True)
            sys.exit(1)
        except SystemExit as ended:
            if not caught or ended.code != STOPPED:
                raise
            typer.echo(explain_stop(caught[0], sys.argv[1:]), err=True)
            sys.exit(exit_code(caught[0]))
