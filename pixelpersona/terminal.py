"""Lines for the terminal, with the control characters of file names and other foreign text escaped."""

import os
import sys
import unicodedata

# Control characters, lone surrogates (a name that is not valid UTF-8) and line separators. Of the format
# characters only those that reorder text: others are part of emoji and of Persian and Indic words.
_ESCAPED_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})
_REORDERING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def escape(text: str) -> str:
    r"""The text as one printable line: "a\x1b[2J.png" with a backslash in place of the escape character."""
    return "".join(_escape(character) for character in text)


def say(*lines: str) -> None:
    """Print lines on stdout. When nobody reads them any more (`| head -1`), they are dropped."""
    try:
        for line in lines:
            print(escape(line))
    except BrokenPipeError:
        drop_output()


def flush_output() -> None:
    """Write what is buffered for stdout, or drop it when nobody reads it any more."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        drop_output()


def drop_output() -> None:
    """From now on, what is written to stdout goes nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def warn(line: str) -> None:
    """Print a line on stderr."""
    print(escape(line), file=sys.stderr)


def _escape(character: str) -> str:
    if unicodedata.category(character) in _ESCAPED_CATEGORIES or character in _REORDERING:
        return character.encode("unicode_escape").decode("ascii")
    return character
