"""Damaged versions of a file: bytes changed, cut off, of another encoding, and JSON of other types."""

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pixelpersona.pixel.photo import PhotoError

_NUM_FLIPS = 24
_VALUES: tuple[Any, ...] = (
    None, [], {}, "x", 3, -1, 0.5, True, float("nan"), float("inf"), [[]], {"x": {}}, "a\0b", 10**400,
)  # fmt: skip


def damaged_bytes(content: bytes, *, num_flips: int = _NUM_FLIPS) -> Iterator[bytes]:
    """Files cut off, of another type or encoding, and with single bits flipped."""
    yield from (content[: int(share * len(content))] for share in (0.0, 0.01, 0.5, 0.9))
    yield content[:-1]
    yield from (b"[]", b"{}", b'"x"', b"3", b"null", b"- a\n", b"a: 1\n", b"\0" * 64, b"[" * 100_000)
    yield from (b'{"a":' * 50_000, b"\xff\xfe" + content, content.replace(b'"', b'"\xff', 1))
    yield content.decode("latin-1").encode("utf-16")
    rng = np.random.default_rng(len(content))
    # Half of them near the start, where binary formats have their header.
    places = [rng.integers(0, end, num_flips) for end in (len(content), min(400, len(content)))]
    for place in np.concatenate(places):
        yield content[:place] + bytes([content[place] ^ 1 << int(rng.integers(8))]) + content[place + 1 :]


def damaged_json(value: Any, *, limit: int = 400) -> Iterator[str]:
    """The JSON text with one value replaced by each of several others, or left out.

    limit: number of texts, chosen at random where there are more.
    """
    changes = [(path, new) for path in _paths(value) for new in (*_VALUES, _LEFT_OUT)]
    if len(changes) > limit:
        chosen = np.random.default_rng(0).choice(len(changes), limit, replace=False)
        changes = [changes[number] for number in sorted(chosen)]
    for path, new in changes:
        yield json.dumps(_changed(value, path, new))
    text = json.dumps(value)
    yield from (text.replace(": ", ": 1e999 ", 1), text.replace(": ", ": -Infinity, ", 1), text + text)


_LEFT_OUT = object()


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where the values are; of a long list only the first and the last."""
    if path:
        yield path
    items = list(value.items()) if isinstance(value, dict) else []
    if isinstance(value, list) and value:
        items = list({0: value[0], len(value) - 1: value[-1]}.items())
    for key, item in items:
        yield from _paths(item, (*path, key))


def _changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    changed = copy.deepcopy(value)
    parent = changed
    for key in path[:-1]:
        parent = parent[key]
    if new is _LEFT_OUT:
        del parent[path[-1]]
    else:
        parent[path[-1]] = new
    return changed


def check_reader(
    file: Path,
    read: Callable[[], object],
    document: Any = None,
    *,
    thorough: bool,
    as_text: Callable[[str], str | bytes] = str,
    named: str | None = None,
) -> int:
    """Call `read` with each damaged version of a file; returns how many it refused.

    It may only raise ValueError or PhotoError with one line that contains `named` (the file's name), and then
    leaves the file as it is. document: the file's JSON value, if it has one; as_text: the file's content for
    a JSON text. The original content is restored.
    """
    original = file.read_bytes()
    versions: list[str | bytes] = list(damaged_bytes(original, num_flips=100 if thorough else 8))
    if document is not None:
        versions += map(as_text, damaged_json(document, limit=2000 if thorough else 60))
    num_refused = 0
    for version in versions:
        content = version.encode() if isinstance(version, str) else version
        file.write_bytes(content)
        line = _refusal(read, content)
        if line is not None:
            assert (named or file.name) in line, (content[:300], line)
            assert "\n" not in line, (content[:300], line)
            assert file.read_bytes() == content
            num_refused += 1
    file.write_bytes(original)
    read()
    return num_refused


def _refusal(read: Callable[[], object], content: bytes) -> str | None:
    try:
        read()
    except (ValueError, PhotoError) as error:
        return str(error)
    except Exception as error:
        raise AssertionError(f"{type(error).__name__}: {error} for {content[:300]!r}") from error
    return None
