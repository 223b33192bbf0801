"""Exceptions that are meant for people: a message and an exit code, no traceback.

A `UserError` says what is wrong, with which file or option, what was expected and what to do next. The command line
prints its message without a traceback and exits with `exit_code`; a program can catch the one base class. Everything
else that escapes from the library (`ValueError` from a caller's slip, `AssertionError` from a bug of ours) keeps its
traceback.
"""

from __future__ import annotations


class UserError(Exception):
    """Something a person can put right: a path, a file, an option, a recipe."""

    exit_code = 1


class AudioFileError(UserError):
    """A file that cannot be read as sound, or a sound that cannot be written."""

    exit_code = 3


class DataError(UserError):
    """A data folder that cannot be prepared or trained on."""

    exit_code = 4


class ModelFileError(UserError):
    """A model or training state that is damaged, foreign, or does not fit its own description."""

    exit_code = 5


class NonFiniteError(ModelFileError, ValueError):
    """What a model computes is not finite although its weights are: it is damaged, forged, or diverged in training."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what} not finite: the model is damaged, forged, or diverged in training; take another copy of it, or an "
            "earlier state"
        )


class DivergenceError(UserError):
    """Training diverged again and again; the last good state is on disk."""

    exit_code = 6
