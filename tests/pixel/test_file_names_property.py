"""Any names that a file system accepts: one result each, none overwritten, every rejected file listed."""

import json
import os
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pixelpersona.pixel.batch import REJECTED, FilePixelator, pixelate_folder, plan_folder
from pixelpersona.pixel.pixelation import Pixelation

ENDINGS = (".png", ".PNG", ".jpg", ".jpeg", ".webp", ".gif", ".png.jpg", ".jpg.png")
_letters = st.characters(exclude_characters="\0/", exclude_categories=["Cs"])
STEMS = st.one_of(
    st.text(_letters, min_size=1, max_size=20),
    st.text("aAäÄ.ßſ~$'\"\\ \n\t\x1b[]{}%", min_size=1, max_size=4),
    st.text("한글", min_size=60, max_size=78),  # three bytes each: up to the 255 of a file system
).filter(lambda stem: not stem.startswith("."))  # hidden files are skipped
FILES = st.lists(st.tuples(STEMS, st.sampled_from(ENDINGS), st.booleans()), min_size=1, max_size=5)


def write(folder: Path, name: str, *, is_whole: bool) -> Path | None:
    file = folder / name
    try:
        with file.open("xb") as opened:
            if is_whole:
                pixels = np.full((12, 12, 3), len(name), np.uint8)
                Image.fromarray(pixels).save(opened, "GIF" if name.lower().endswith(".gif") else "PNG")
    except OSError:  # too long, or on this file system the same as another name
        return None
    return file


@settings(max_examples=40, deadline=None, derandomize=True)
@given(files=FILES)
def test_every_file_has_its_own_result_or_is_listed(files: list[tuple[str, str, bool]]) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        source, target = Path(temporary) / "in", Path(temporary) / "out"
        source.mkdir()
        made = [write(source, stem + end, is_whole=whole) for stem, end, whole in files]
        written = {file for file in made if file is not None}
        if not written:
            return
        before = {file: file.read_bytes() for file in written}
        jobs, _ = plan_folder(source, target)
        assert {job.source for job in jobs} == written
        assert len({os.fspath(job.target).casefold() for job in jobs}) == len(jobs)
        assert all(job.target.parent == target for job in jobs)

        recipe = Pixelation(factor=4, palette=2, fit="kmeans", downsample="mean")
        reasons = pixelate_folder(jobs, FilePixelator(recipe), target, num_workers=1)
        drawn = {file for file in target.iterdir() if file.name != REJECTED}
        assert drawn == {job.target for job in jobs if job.source not in reasons}
        rows = [json.loads(line) for line in (target / REJECTED).read_text("utf-8").split("\n") if line]
        assert {row["id"]: row["reason"] for row in rows} == {str(f): r for f, r in reasons.items()}
        empty = {file for file, content in before.items() if not content}
        assert empty <= reasons.keys()
        assert all("name too long" in reasons[file].lower() for file in reasons.keys() - empty)
        assert {file: file.read_bytes() for file in written} == before
