"""Pairs on disk: a folder of photos and their pixel art, named by the hash of its inputs.

Layout (Hugging Face's imagefolder): photo/*.png, pixel/*.png, metadata.jsonl with photo_file_name,
pixel_file_name, text, split and hashes; manifest.json; rejected.jsonl with the photos that cannot be used.
A row's `entry` is the pair's content key, by which other sets find it.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixelpersona.data.metadata import SPLITS
from pixelpersona.files import parse_json
from pixelpersona.pixel.grid import Grid
from pixelpersona.pixel.palette import Palette

DATA_VERSION = 3
"""Part of every key; increase it when the same photos and recipe give other files."""

KINDS = ("photo", "pixel")
MANIFEST, METADATA, REJECTED = "manifest.json", "metadata.jsonl", "rejected.jsonl"


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """One photo and its pixel art, both RGB PNG files of the set's size.

    id: the photo's id, with "#1", "#2", ... appended for its augmented variants. grid: None where cells
    differ in size. sha256: digest of both files' digests. source_sha256, source_fingerprint: of the photo's
    original file.
    """

    id: str
    photo_id: str
    variant: int
    photo: Path
    pixel: Path
    grid: Grid | None
    palette: Palette
    caption: str
    split: str
    sha256: str
    photo_sha256: str
    pixel_sha256: str
    source_sha256: str
    source_fingerprint: str
    photo_caption: str | None = None


class PairSet:
    """A finished folder of pairs; read-only.

    key: hash of the set's inputs; its first 12 digits are in the folder's name. sha256: hash of the set's
    contents, pictures included. size: side of the pictures, pixels. recipe: the fields of its PairRecipe.
    """

    def __init__(self, folder: Path, manifest: Mapping[str, Any], pairs: list[Pair]) -> None:
        self.folder = folder
        self.key = str(manifest["key"])
        self.sha256 = str(manifest["metadata_sha256"])
        self.size = int(manifest["recipe"]["size"])
        self.recipe: Mapping[str, Any] = manifest["recipe"]
        self.num_rejected = int(manifest["num_rejected"])
        self._pairs = {pair.id: pair for pair in pairs}

    @classmethod
    def load(cls, folder: Path | str) -> "PairSet":
        """Read a folder and check its manifest, the hash of its metadata and the size of every picture.

        Raises ValueError naming the file when something is missing or was changed.
        """
        folder = Path(folder)
        manifest = _read_manifest(folder / MANIFEST)
        rows = _rows(folder, manifest)
        for row in rows:
            for kind in KINDS:
                _check_size(folder / row[f"{kind}_file_name"], row[f"{kind}_bytes"])
        return cls(folder, manifest, [_pair(folder, row) for row in rows])

    def __len__(self) -> int:
        return len(self._pairs)

    def pairs(self, split: str) -> list[Pair]:
        """The pairs of "train", "val" or "test", by photo id. Raises ValueError when there are none."""
        if split not in SPLITS:
            raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
        pairs = [pair for pair in self._pairs.values() if pair.split == split]
        if not pairs:
            sizes = ", ".join(f"{size} {name}" for name, size in self.sizes().items())
            raise ValueError(f"{self.folder}: no {split} pairs in this data set ({sizes})")
        return pairs

    def plain_pairs(self) -> list[Pair]:
        """The pair of every photo that is not augmented, in all splits."""
        return [pair for pair in self._pairs.values() if pair.variant == 0]

    @property
    def num_photos(self) -> int:
        """Number of photos, rejected ones included."""
        return len(self.plain_pairs()) + self.num_rejected

    def sizes(self) -> dict[str, int]:
        """Number of pairs of every split, empty ones included."""
        counts = Counter(pair.split for pair in self._pairs.values())
        return {split: counts[split] for split in SPLITS}

    def photo(self, pair_id: str) -> NDArray[np.uint8]:
        """The pair's photo, uint8 [H, W, 3]. Raises ValueError when its file was changed."""
        return _read_picture(self._pairs[pair_id].photo, self._pairs[pair_id].photo_sha256)

    def pixel(self, pair_id: str) -> NDArray[np.uint8]:
        """The pair's pixel art, uint8 [H, W, 3]. Raises ValueError when its file was changed."""
        return _read_picture(self._pairs[pair_id].pixel, self._pairs[pair_id].pixel_sha256)


def read_rows(folder: Path) -> list[dict[str, Any]]:
    """The rows of a set's metadata. Raises ValueError when a file is missing or was changed."""
    return _rows(folder, _read_manifest(folder / MANIFEST))


def seal(manifest: Mapping[str, Any]) -> str:
    """SHA-256 of a manifest without its own "sha256" field."""
    values = {name: value for name, value in manifest.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def damage(folder: Path) -> Iterator[str]:
    """One line for every file of a set that is missing or was changed; reads all files."""
    try:
        manifest = _read_manifest(folder / MANIFEST)
    except ValueError as error:
        yield str(error)
        manifest = {}
    for key, name in (("metadata", METADATA), ("rejected", REJECTED)):
        if problem := _problem(folder / name, manifest.get(f"{key}_sha256")):
            yield f"{folder / name}: {problem}"
    yield from _damaged_pictures(folder)


def _damaged_pictures(folder: Path) -> Iterator[str]:
    try:
        lines = (folder / METADATA).read_bytes().split(b"\n")
    except OSError:
        return
    for line in lines:
        row = _consistent_row(line)
        for kind in KINDS if row else ():
            file = folder / row[f"{kind}_file_name"]
            if problem := _problem(file, row[f"{kind}_sha256"]):
                yield f"{file}: {problem} (of {row['photo_id']})"


def _consistent_row(line: bytes) -> dict[str, Any]:
    """A row that matches its own digest; {} for a damaged one, which the metadata's hash has reported."""
    try:
        row: dict[str, Any] = parse_json(line)
        numbers = {row[f"{kind}_file_name"].removeprefix(f"{kind}/") for kind in KINDS}
        own = hashlib.sha256((row["photo_sha256"] + row["pixel_sha256"]).encode()).hexdigest()
        return row if len(numbers) == 1 and own == row["sha256"] and isinstance(row["photo_id"], str) else {}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def _problem(file: Path, sha256: str | None) -> str | None:
    """What is wrong with a file; None when it exists and has this digest (None: any)."""
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        return "missing"
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"
    if sha256 is None or hashlib.sha256(data).hexdigest() == sha256:
        return None
    return "changed since it was written"


def _rows(folder: Path, manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    lines = _read_bytes(folder / METADATA)
    if hashlib.sha256(lines).hexdigest() != manifest["metadata_sha256"]:
        raise ValueError(f"{folder / METADATA}: changed since it was written; prepare the data again")
    return [json.loads(line) for line in lines.decode().split("\n") if line]


def _pair(folder: Path, row: Mapping[str, Any]) -> Pair:
    colors = [list(bytes.fromhex(color.removeprefix("#"))) for color in row["palette"]]
    return Pair(
        id=row["id"],
        photo_id=row["photo_id"],
        variant=row["variant"],
        photo=folder / row["photo_file_name"],
        pixel=folder / row["pixel_file_name"],
        grid=Grid(**row["grid"] | {"origin": tuple(row["grid"]["origin"])}) if row["grid"] else None,
        palette=Palette(np.array(colors, dtype=np.uint8)),
        caption=row["text"],
        split=row["split"],
        sha256=row["sha256"],
        photo_sha256=row["photo_sha256"],
        pixel_sha256=row["pixel_sha256"],
        source_sha256=row["source_sha256"],
        source_fingerprint=row["source_fingerprint"],
        photo_caption=row.get("source_text"),
    )


def _read_manifest(file: Path) -> dict[str, Any]:
    try:
        manifest = parse_json(_read_bytes(file))
    except ValueError as error:
        raise ValueError(f"{file}: no manifest of a data set ({error})") from error
    needed = {"key", "metadata_sha256", "recipe", "num_rejected", "data_version"}
    if not isinstance(manifest, dict) or not needed <= manifest.keys():
        raise ValueError(f"{file}: not a manifest of a data set")
    if manifest["data_version"] != DATA_VERSION:
        raise ValueError(
            f"{file}: data version {manifest['data_version']}, this program reads version {DATA_VERSION}"
        )
    if manifest.get("sha256") != seal(manifest):
        raise ValueError(f"{file}: changed since it was written; prepare the data again")
    return manifest


def _read_bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ValueError(f"{file}: cannot be read ({error.strerror or error})") from error


def _check_size(file: Path, num_bytes: int) -> None:
    try:
        complete = file.stat().st_size == num_bytes
    except OSError:
        complete = False
    if not complete:
        raise ValueError(f"{file}: missing or incomplete; prepare the data again")


def _read_picture(file: Path, sha256: str) -> NDArray[np.uint8]:
    data = _read_bytes(file)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ValueError(f"{file}: changed since it was written; prepare the data again")
    with Image.open(BytesIO(data), formats=("PNG",)) as image:
        return np.asarray(image.convert("RGB"))
