"""The page is well-formed, complete and self-contained."""

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from pixelpersona.evaluation.result import EvalResults
from pixelpersona.evaluation.tradeoff import Tradeoff
from pixelpersona.reporting.page import HowMade, Sheet, render_page
from pixelpersona.reporting.verdict import verdict
from pixelpersona.runs.reading import RunRecord

VOID = {"meta", "link", "img", "br", "line", "use", "path", "rect", "circle", "input"}
HOW = HowMade(
    commands=["make demo"], versions={"torch": "2.13.0"}, hashes={"data": "d" * 64}, seconds={"train": 12.34}
)


class Page(HTMLParser):
    """Tags, their attributes and the text of a page; fails on tags that are closed in the wrong order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open, f"</{tag}> closes nothing"
            assert self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join("".join(self.text).split())


@pytest.fixture(scope="module")
def sheet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sheet") / "sheet.png"
    Image.new("RGB", (20, 10), "red").save(path)
    return path


@pytest.fixture(scope="module")
def html(results: EvalResults, runs: list[RunRecord], sheet: Path) -> str:
    shown = [Sheet(sheet, "Test portraits", "Not selected.")]
    return render_page(results, title="A demo", runs=runs, sheets=shown, how=HOW)


def test_the_page_makes_no_requests(html: str) -> None:
    page = Page(html)
    for tag, attributes in page.tags:
        assert tag not in {"script", "iframe", "object", "embed", "base", "audio", "video", "source"}
        for name in ("src", "href", "srcset", "data", "action", "poster", "xlink:href", "background"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:", "#")), (tag, name, value)
        assert "url(" not in (attributes.get("style") or "")
    styles = "".join(re.findall(r"<style>(.*?)</style>", html, re.DOTALL))
    assert "@import" not in styles
    assert "url(" not in styles
    assert not re.search(r"https?://", html)
    policy = [a["content"] for t, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def test_the_page_is_well_formed_and_its_links_have_targets(html: str) -> None:
    page = Page(html)
    assert page.open == []
    identifiers = [a["id"] for _, a in page.tags if a.get("id")]
    assert len(identifiers) == len(set(identifiers))
    targets = [a["href"] or "" for t, a in page.tags if t == "a"]
    assert targets
    assert {target.removeprefix("#") for target in targets} <= set(identifiers)


def test_the_verdict_precedes_pictures_and_numbers(html: str, results: EvalResults) -> None:
    words = Page(html).words
    positions = [words.index(" ".join(s.split())) for s in verdict(results)]
    assert positions == sorted(positions)
    assert positions[-1] < words.index("Not selected.") < words.index("Raw: before snapping")


def test_numbers_settings_hashes_and_sheets_are_on_the_page(
    html: str, results: EvalResults, sheet: Path
) -> None:
    words = Page(html).words
    for expected in (
        "Snapped: on the grid, with 16 colours", "Difference to the untouched base", "make demo", "12.3 s",
        "sampler.num_steps", "torch", "d" * 64, "b" * 64, "f" * 64, "lora.rank=8", "cccccccccccc",
        "with local changes", "LoRA rank 8", "32 test photos", "1 drawing seed", "training seeds: 1",
        "Trained with one seed: LoRA rank 4 and LoRA rank 8.",
    ):  # fmt: skip
        assert expected in words, expected
    embedded = re.findall(r'<img src="data:image/png;base64,([^"]+)"', html)
    assert [base64.b64decode(e) for e in embedded] == [sheet.read_bytes()]
    assert "image-rendering: pixelated" in html


def test_trade_offs_are_shown_if_they_were_measured(
    html: str, results: EvalResults, tradeoff: Tradeoff
) -> None:
    assert 'id="tradeoff"' not in html
    shown = render_page(results, tradeoff=tradeoff)
    page = Page(shown)
    assert page.open == []
    assert 'href="#tradeoff"' in shown
    words = page.words
    for expected in ("Style against likeness", "Best setting of each variant", "Every setting", "8 photos"):
        assert expected in words, expected
    identifiers = [a["id"] for _, a in page.tags if a.get("id")]
    assert len(identifiers) == len(set(identifiers))
    assert not re.search(r"https?://", shown)
    assert shown == render_page(results, tradeoff=tradeoff)


def test_trade_offs_in_other_features_are_refused(results: EvalResults, tradeoff: Tradeoff) -> None:
    with pytest.raises(ValueError, match=r"measured in other features than result\.json"):
        render_page(results, tradeoff=replace(tradeoff, features_sha256="0" * 64))


def test_texts_of_runs_and_settings_are_escaped(results: EvalResults, runs: list[RunRecord]) -> None:
    evil = "<script>alert(1)</script>"
    named = [replace(runs[0], id=evil, overrides=[evil], git={"commit": evil})]
    settings: dict[str, object] = {evil: evil}
    renamed = replace(
        results, settings=settings, variants=[*results.variants, replace(results.variants[0], variant=evil)]
    )
    html = render_page(
        renamed, title=evil, runs=named, how=HowMade([evil], {evil: evil}, {evil: evil}, {evil: 1})
    )
    assert "<script" not in html
    assert Page(html).open == []


def test_without_runs_and_sheets_their_sections_are_missing(results: EvalResults) -> None:
    html = render_page(results)
    page = Page(html)
    assert page.open == []
    assert 'id="training"' not in html
    assert 'id="pictures"' not in html


def test_the_same_input_gives_the_same_page(results: EvalResults, runs: list[RunRecord]) -> None:
    assert render_page(results, runs=runs) == render_page(results, runs=runs)


def test_results_in_different_features_are_refused(results: EvalResults) -> None:
    mixed = [*results.variants[:3], replace(results.variants[3], features_sha256="0" * 64)]
    with pytest.raises(ValueError, match="features_sha256 must be the same"):
        render_page(replace(results, variants=mixed))


def test_a_sheet_must_be_a_png(results: EvalResults, tmp_path: Path) -> None:
    jpeg = tmp_path / "sheet.jpg"
    Image.new("RGB", (4, 4)).save(jpeg)
    with pytest.raises(ValueError, match=r"sheet\.jpg: a contact sheet must be a PNG"):
        render_page(results, sheets=[Sheet(jpeg, "x")])
    with pytest.raises(ValueError, match="cannot be read"):
        render_page(results, sheets=[Sheet(tmp_path / "none.png", "x")])
