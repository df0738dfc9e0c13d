"""How far a command is, on standard error."""

import io
import sys

import pytest

from godropbox.fleet.progress import Progress


class Terminal(io.StringIO):
    """It says that it is one."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("is_plain", [False, True])
def test_names_with_brackets_are_shown_as_they_are(
    is_plain: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not is_plain:
        pytest.importorskip("rich")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    names = ["list [fd00::1]:11211", "list [/x]"]
    with Progress(is_plain=is_plain) as progress:
        for name in names:
            progress.show(name, 5, 10)
            if not is_plain:
                progress._bars.refresh()
    assert all(name in terminal.getvalue() for name in names)
