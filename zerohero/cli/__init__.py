"""The `zerohero` command: one file here for each of its commands, and below how errors become one sentence.

A command is a function of the same name as its file. What it needs beyond that file is imported when it runs, so
that `zerohero --help` is quick.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

COMMANDS = (
    "start", "lab", "check", "progress", "exercises", "grade", "data", "train", "evaluate", "doctor", "bench",
)  # fmt: skip
WRONG_INPUT = (ValueError, TypeError, ImportError, OSError)  # OSError: files that are missing
DONE, FAILED, WRONG, STOPPED = 0, 1, 2, 130  # exit codes


def application() -> typer.Typer:
    """The command with all its commands."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")
    app.callback()(zerohero)
    for name in COMMANDS:
        module = importlib.import_module(f"zerohero.cli.{name}")
        app.command(name, context_settings=getattr(module, "CONTEXT", None))(getattr(module, name))
    return app


def print_version(wanted: bool) -> None:
    if wanted:
        from zerohero import __version__

        print(f"zerohero {__version__}")
        raise typer.Exit


def zerohero(
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error comes from; stands anywhere.")] = False,
) -> None:
    """Convolutional neural networks from zero to hero: a course you can run.

    \b
    zerohero start ~/mycourse             make your own copy of lectures and exercises
    zerohero lab                          open the course in JupyterLab
    zerohero check mine.ipynb             check an exercise
    zerohero progress                     which tasks are solved
    zerohero grade submissions/           grade a class
    zerohero data list                    which data sets are here
    zerohero doctor                       look at this machine
    zerohero train lenet5 --data digits   train a network
    zerohero bench --quick                measure beside PyTorch
    zerohero COMMAND --help               explain a command, with examples
    """


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command line and exit: 0 done, 1 failed on the way, 2 wrong input, 130 stopped by Ctrl-C."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that has no ✔ shows a ?, and goes on
    debug = "--debug" in given
    given = [argument for argument in given if argument != "--debug"]
    try:
        status = application()(given or ["--help"], prog_name="zerohero", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        status = STOPPED
    except Exception as error:
        if debug:
            raise
        status, sentence = _sentence(error)
        print(sentence, file=sys.stderr)
    sys.exit(status or DONE)


def _sentence(error: Exception) -> tuple[int, str]:
    """The exit code for an error, and what to tell about it."""
    if hasattr(error, "format_message"):  # typer's own: an unknown command or option
        context = getattr(error, "ctx", None)
        path = context.command_path if context else "zerohero"
        return WRONG, f"{path}: {' '.join(error.format_message().split())} ({path} --help shows what there is)"
    text = " ".join(str(error).split())
    if isinstance(error, OSError) and error.strerror and error.filename is not None:  # from the system, in its words
        text = f"{error.strerror}: {str(error.filename)!r}"
    if isinstance(error, ConnectionError):  # nothing was wrong with what was asked for
        return FAILED, f"zerohero: {text}"
    if isinstance(error, WRONG_INPUT):
        return WRONG, f"zerohero: {text}"
    if isinstance(error, FloatingPointError):
        return FAILED, f"zerohero: {text}"
    return FAILED, f"zerohero: {type(error).__name__}: {text}; a defect of zerohero: --debug shows where"

