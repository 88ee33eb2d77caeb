"""Control characters of file names do not reach the terminal, whatever prints the name."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from pixelpersona import pixelate
from pixelpersona.terminal import escape, say, warn

PACKAGE = Path(__file__).resolve().parent.parent / "pixelpersona"
CLEAR_SCREEN = "a\x1b[2J\x07\r.png"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (CLEAR_SCREEN, r"a\x1b[2J\x07\r.png"),
        ("two\nlines\t.png", r"two\nlines\t.png"),
        ("\x7f\x9b31m\u2028", r"\x7f\x9b31m\u2028"),
        ("gnp.\u202eexe", r"gnp.\u202eexe"),
        ("\udcff.png", r"\udcff.png"),  # a byte that is not UTF-8
        ("한글 é ×.png", "한글 é ×.png"),
        ("👩‍🚀 می‌خواهم\\n.png", "👩‍🚀 می‌خواهم\\n.png"),  # joiners are part of the text
    ],
)
def test_escape(text: str, line: str) -> None:
    assert escape(text) == line
    assert escape(line) == line


def test_lines_go_to_stdout_and_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    say("wrote", CLEAR_SCREEN)
    warn(f"{CLEAR_SCREEN}: is empty")
    captured = capsys.readouterr()
    assert captured.out == "wrote\na\\x1b[2J\\x07\\r.png\n"
    assert captured.err == "a\\x1b[2J\\x07\\r.png: is empty\n"


def test_names_in_results_warnings_and_errors_of_a_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path("in\x1b[2J")
    folder.mkdir()
    (folder / "notes.txt").touch()
    (folder / CLEAR_SCREEN).write_bytes(b"no picture")
    with pytest.raises(SystemExit):
        pixelate.main([f"photo={folder}", "out=out", "num_workers=1"])
    Image.new("RGB", (12, 12), "red").save(folder / "red\x1b.png")
    pixelate.main([f"photo={folder}", "out=out\x1b", "num_workers=1"])
    captured = capsys.readouterr()
    assert "\x1b" not in captured.out + "".join(captured.err.splitlines())
    assert r"wrote 1 pictures to out\x1b; 1 cannot be used, see out\x1b/rejected.jsonl" in captured.out
    assert r"in\x1b[2J: left out: 1 .txt" in captured.err
    assert r"the first: in\x1b[2J/a\x1b[2J\x07\r.png: not a JPEG" in captured.err


def test_lines_are_printed_by_say_and_warn_only() -> None:
    """Besides them, tables and help are printed, which hold no names of files."""
    tables = {"terminal.py", "cli/help.py", "cli/command.py"}
    printing = {
        file.relative_to(PACKAGE).as_posix()
        for file in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in ("print", "sys.stderr.write", "sys.stdout.write")
    }
    assert printing <= tables


@pytest.mark.parametrize("words", ["photo=PHOTO out=OUT", "--help", "--cfg job photo=PHOTO out=OUT"])
def test_output_that_nobody_reads_is_dropped(tmp_path: Path, words: str) -> None:
    """As with `| head -0`: the work is done, and no traceback is printed."""
    Image.new("RGB", (24, 24), "red").save(tmp_path / "photo.png")
    out = tmp_path / "out.png"
    words = words.replace("PHOTO", str(tmp_path / "photo.png")).replace("OUT", str(out))
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "pixelpersona.pixelate", *words.split()]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")
    assert out.exists() == words.startswith("photo")
