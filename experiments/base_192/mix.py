"""Merge two zips of photos into one data set: head-and-shoulders portraits and tight faces.

    python experiments/base_192/mix.py portraits-192.zip faces-128.zip mixed.zip

portraits-192.zip holds photos of 192×192 pixels and a metadata.jsonl with file_name, text and split (train,
val, test). faces-128.zip is UTKFace at 128×128 pixels with age, gender and ethnicity. As for the packaged
base, its photos with a hash below 0.1 are not trained on: those below 0.05 are left out, the others are val
photos. Tight faces are enlarged to 192 pixels and their captions end in ", close-up". Most of those trained
on show people who are rare among the portraits (dark skin, below 10 or above 59 years). Portraits to train on
whose captions mention glasses are few, and are contained four times.

    python experiments/base_192/mix.py --tight portraits-192.zip faces-128.zip faces.zip

is for the feature network: tight faces of 128×128 pixels, cut from the portraits (see `framing.face_part`),
and the same tight faces as above.
"""

import argparse
import hashlib
import io
import json
import random
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image

from pixelpersona.data.metadata import attribute_caption
from pixelpersona.pixel.framing import face_part

SIZE = 192
NUM_RARE, NUM_OTHER, NUM_VAL = 2500, 700, 400
NUM_COPIES = 4  # of a portrait with glasses


def rows_of(archive: zipfile.ZipFile) -> list[dict[str, Any]]:
    """The rows of the archive's metadata.jsonl; file_name is relative to the archive."""
    name = next(name for name in archive.namelist() if name.endswith("metadata.jsonl"))
    folder = PurePosixPath(name).parent
    rows = [json.loads(line) for line in archive.read(name).decode().splitlines()]
    return [row | {"file_name": (folder / row["file_name"]).as_posix()} for row in rows]


def hash_share(data: bytes) -> float:
    """A number in [0, 1) that is a function of the photo's bytes."""
    return int(hashlib.sha256(data).hexdigest()[:13], 16) / 16**13


def is_rare(row: dict[str, Any]) -> bool:
    return row["ethnicity"] in ("black", "indian") or row["age"] >= 60 or row["age"] < 10


def webp(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=92)
    return buffer.getvalue()


def enlarged(data: bytes) -> bytes:
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    return webp(picture.resize((SIZE, SIZE), Image.Resampling.LANCZOS))


def face_of(data: bytes) -> bytes:
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    return webp(picture.crop(face_part(*picture.size, "portrait")))


def choose_faces(archive: zipfile.ZipFile) -> list[tuple[dict[str, Any], str]]:
    """(row, split) of the tight faces, shuffled with a fixed seed."""
    rows = rows_of(archive)
    share = {row["file_name"]: hash_share(archive.read(row["file_name"])) for row in rows}
    train = [row for row in rows if share[row["file_name"]] >= 0.1]
    val = [row for row in rows if 0.05 <= share[row["file_name"]] < 0.1]
    rng = random.Random(0)
    rare, other = [r for r in train if is_rare(r)], [r for r in train if not is_rare(r)]
    rng.shuffle(rare)
    rng.shuffle(other)
    chosen = [(row, "train") for row in rare[:NUM_RARE] + other[:NUM_OTHER]]
    return chosen + [(row, "val") for row in val[:NUM_VAL]]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tight", action="store_true", help="tight faces of 128 pixels")
    for name in ("portraits", "faces", "out"):
        parser.add_argument(name, type=Path)
    arguments = parser.parse_args()
    mixed: list[dict[str, str]] = []
    with (
        zipfile.ZipFile(arguments.portraits) as portraits,
        zipfile.ZipFile(arguments.faces) as faces,
        zipfile.ZipFile(arguments.out, "w", zipfile.ZIP_STORED) as out,
    ):
        for row in rows_of(portraits):
            data = portraits.read(row["file_name"])
            is_copied = row["split"] == "train" and "glasses" in (row["text"] or "") and not arguments.tight
            for number in range(NUM_COPIES if is_copied else 1):
                folder = f"portraits-{number}" if number else "portraits"
                name = f"{folder}/{row['file_name']}"
                out.writestr(name, face_of(data) if arguments.tight else data)
                mixed.append({"file_name": name, "text": row["text"], "split": row["split"]})
        for row, split in choose_faces(faces):
            name = f"faces/{PurePosixPath(row['file_name']).stem}.webp"
            data = faces.read(row["file_name"])
            out.writestr(name, data if arguments.tight else enlarged(data))
            text = attribute_caption(row["age"], row["gender"], row["ethnicity"])
            text = text if arguments.tight else f"{text}, close-up"
            mixed.append({"file_name": name, "text": text, "split": split})
        out.writestr("metadata.jsonl", "".join(json.dumps(row) + "\n" for row in mixed))
    print(f"wrote {len(mixed)} photos to {arguments.out}")


if __name__ == "__main__":
    main()
