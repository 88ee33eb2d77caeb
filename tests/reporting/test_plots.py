"""Plots of curves and intervals, as SVG elements for a page."""

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest

from pixelpersona.evaluation.result import EvalResults
from pixelpersona.reporting.plots import (
    COLORS,
    DASHES,
    MAX_POINTS,
    curve_plots,
    interval_plot,
    run_styles,
    running_mean,
    thin,
)
from pixelpersona.runs.reading import RunRecord


def test_losses_of_different_methods_do_not_share_an_axis(runs: list[RunRecord]) -> None:
    assert [plot.title for plot in curve_plots(runs)] == [
        "training loss, lora",
        "training loss, supervised",
        "validation loss, lora",
        "gradient norm, lora",
        "learning rate",
        "KID persona ↓, during training",
    ]


def test_svg_elements_are_self_contained_and_their_ids_unique(
    runs: list[RunRecord], results: EvalResults
) -> None:
    plots = curve_plots(runs)
    headline = interval_plot(results, "grid_contrast_raw")
    assert headline is not None
    identifiers: list[str] = []
    for plot in [*plots, headline]:
        root = ET.fromstring(plot.svg)
        assert root.tag == "svg"
        assert root.get("viewBox")
        assert root.get("width") is None
        assert not re.search(r"https?:|<script|<style|#010203|xmlns", plot.svg)
        assert "currentColor" in plot.svg
        own = [e.get("id") or "" for e in root.iter() if e.get("id")]
        used = re.findall(r'(?:url\(#|href="#)([^)"]+)', plot.svg)
        assert set(used) <= set(own)
        identifiers += own
    assert len(identifiers) == len(set(identifiers))


def test_the_same_runs_give_the_same_plots(runs: list[RunRecord]) -> None:
    assert curve_plots(runs) == curve_plots(runs)


def test_titles_are_escaped(results: EvalResults) -> None:
    named = RunRecord("a", [], {}, {'eval/"><script>': [(1, 1.0), (2, 2.0)]})
    (plot,) = curve_plots([named])
    assert "<script" not in plot.svg
    assert ET.fromstring(plot.svg).get("aria-label") == '"><script>'


def test_every_variant_is_in_the_interval_plot(results: EvalResults) -> None:
    plot = interval_plot(results, "likeness_raw")
    assert plot is not None
    texts = [e.text for e in ET.fromstring(plot.svg).iter() if e.tag.endswith("text")]
    assert {"photo", "untouched base", "LoRA rank 4", "LoRA rank 8"} <= set(texts)
    assert interval_plot(results, "structure_raw") is None


def test_without_curves_there_are_no_plots(runs: list[RunRecord]) -> None:
    assert curve_plots([]) == []
    assert curve_plots([replace(runs[0], curves={})]) == []


def test_every_run_has_its_own_colour_and_dash() -> None:
    runs = [RunRecord(str(i), [], {}, {}) for i in range(len(COLORS) * len(DASHES))]
    assert len(set(run_styles(runs).values())) == len(runs)


@pytest.mark.parametrize("num_points", [1, 5, MAX_POINTS, 12_345])
def test_thinning_keeps_the_mean_and_limits_the_points(num_points: int) -> None:
    values = np.random.default_rng(0).normal(3.0, 1.0, num_points)
    x, y = thin([(i, float(v)) for i, v in enumerate(values)])
    assert len(x) == min(num_points, MAX_POINTS)
    if num_points <= MAX_POINTS:
        np.testing.assert_array_equal(y, values)
    weights = [len(p) for p in np.array_split(values, len(x))]
    assert np.average(y, weights=weights) == pytest.approx(values.mean())


def test_running_mean_equals_the_formula() -> None:
    values = np.random.default_rng(1).normal(size=30)
    expected = [values[max(0, i - 2) : i + 3].mean() for i in range(30)]
    np.testing.assert_allclose(running_mean(values, 5), expected)
