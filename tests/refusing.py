"""A command that refuses what it is given."""

from collections.abc import Callable, Sequence

import pytest


def refused(
    main: Callable[[Sequence[str]], object], capsys: pytest.CaptureFixture[str], words: Sequence[str]
) -> str:
    """The last line on stderr of a command that exits with code 2; what was printed before is dropped."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]
