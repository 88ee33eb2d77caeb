"""The report in a real browser, on a phone's screen: every column can be reached, and none is cut off."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pixelpersona.evaluation.result import EvalResults
from pixelpersona.evaluation.tradeoff import Tradeoff
from pixelpersona.reporting.page import Sheet, render_page
from pixelpersona.runs.reading import RunRecord

WIDTH, HEIGHT = 390, 844
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

# The page's own content security policy allows no script, so that one in the document around it measures.
MEASURE = """
const page = document.querySelector("iframe").contentDocument;
const box = element => { const { left, right } = element.getBoundingClientRect(); return [left, right]; };
const found = { width: page.documentElement.scrollWidth, hints: 0, parts: [] };
for (const hint of page.querySelectorAll(".swipe")) found.hints += hint.offsetHeight > 0;
for (const part of page.querySelectorAll(".scroll")) {
  part.closest("details")?.setAttribute("open", "");
  part.scrollLeft = 1e6;
  const [first, last] = ["th:first-child", "th:last-child"].map(cell => part.querySelector(`thead ${cell}`));
  found.parts.push({
    label: part.ariaLabel,
    overflow: getComputedStyle(part).overflowX,
    hidden: part.scrollWidth - part.clientWidth,
    left: part.scrollLeft,
    part: box(part),
    first: first && box(first),
    last: box(last ?? part.firstElementChild ?? part),
  });
}
const result = document.createElement("pre");
result.textContent = JSON.stringify(found);
document.body.append(result);
"""


def on_a_phone(page: str, folder: Path) -> Any:
    """Boxes of the page's scrolling parts and of their first and last columns, scrolled to the right."""
    frame = (
        f'<iframe width="{WIDTH}" height="{HEIGHT}" srcdoc="{html.escape(page)}" onload="measure()"></iframe>'
    )
    file = folder / "phone.html"
    file.write_text(
        f"<body><script>function measure() {{ {MEASURE} }}</script>{frame}</body>", encoding="utf-8"
    )
    options = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        f"--user-data-dir={folder / 'profile'}",
    ]
    command = [str(CHROMIUM), *options, "--virtual-time-budget=3000", "--dump-dom", file.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    match = re.search(r"<pre>(.*?)</pre></body>", done.stdout, re.DOTALL)
    assert match is not None, done.stderr
    return json.loads(html.unescape(match.group(1)))


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_every_column_can_be_reached_on_a_phone(
    results: EvalResults, runs: list[RunRecord], tradeoff: Tradeoff, tmp_path: Path
) -> None:
    sheet = tmp_path / "sheet.png"
    Image.new("RGB", (1100, 300), (90, 120, 200)).save(sheet)
    sheets = [Sheet(sheet, "On the grid", "Snapped.")]
    measured = on_a_phone(render_page(results, runs=runs, sheets=sheets, tradeoff=tradeoff), tmp_path)
    assert measured["width"] == WIDTH  # the page itself does not scroll sideways
    assert measured["hints"]
    tables = [part for part in measured["parts"] if part["first"]]
    assert len(tables) >= 5
    assert any(part["hidden"] for part in tables)
    for part in measured["parts"]:
        (left, right), (_, end) = part["part"], part["last"]
        assert part["overflow"] == "auto", part
        assert part["left"] == pytest.approx(part["hidden"], abs=1), part
        assert 0 <= left < right <= WIDTH, part
        assert end <= right + 1, part  # the last column is not cut off
    for part in tables:
        (left, right), (first_left, first_right) = part["part"], part["first"]
        assert first_left == pytest.approx(left, abs=1), part  # the names stay in sight
        assert first_right - first_left < 0.45 * (right - left), part
