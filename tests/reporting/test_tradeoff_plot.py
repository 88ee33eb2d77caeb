"""Plot and tables of a trade-off with known numbers."""

import re
from dataclasses import replace

import pytest

from pixelpersona.evaluation.tradeoff import Tradeoff
from pixelpersona.reporting.table_formats import DASH
from pixelpersona.reporting.tradeoff_plot import best_table, settings_table, tradeoff_plot


def test_best_settings_and_dashes_where_there_is_none(tradeoff: Tradeoff) -> None:
    rows = {title: [cell.text for cell in cells] for title, cells in best_table(tradeoff).rows}
    assert rows["untouched base"] == [DASH] * 6
    assert rows["LoRA rank 4"][:4] == ["dpm-20", "0.6", "1", "12"]
    assert rows["LoRA rank 4"][4:] == ["0.48", "0.73"]


def test_every_setting_is_compared_with_the_base_at_the_same_setting(tradeoff: Tradeoff) -> None:
    table = settings_table(tradeoff)
    assert len(table.rows) == 8
    assert all(len(cells) == len(table.columns) - 1 == len(table.notes) - 1 for _, cells in table.rows)
    shown = {(title, cells[1].text, cells[2].text): cells for title, cells in table.rows}
    at = shown["LoRA rank 4", "0.6", "1"]
    differences = [float(cell.text.replace("\N{MINUS SIGN}", "-")) for cell in at[6:]]
    assert differences == pytest.approx([0.30, -0.05])
    assert [cell.mark for cell in at[6:]] == ["better", "worse"]
    assert shown["untouched base", "0.6", "1"][6].text == DASH


def test_the_front_is_marked(tradeoff: Tradeoff) -> None:
    """Guidance 4 is worse in both, so the front is guidance 1 at both strengths."""
    for _, cells in settings_table(tradeoff).rows:
        assert (cells[4].mark == "best") == (cells[2].text == "1")


def test_the_plot_has_a_marker_per_setting_and_a_legend(tradeoff: Tradeoff) -> None:
    plot = tradeoff_plot(tradeoff)
    for word in ("untouched base", "LoRA rank 4", "guidance 4", "strength 0.6", "grid contrast", "likeness"):
        assert word in plot.svg, word
    assert "8 photos" in plot.note
    assert plot.svg == tradeoff_plot(tradeoff).svg
    # One marker per setting at least; the placeholder colour is replaced.
    assert len(re.findall("<use ", plot.svg)) >= 8
    assert "#010203" not in plot.svg


def test_a_single_setting_can_be_shown(tradeoff: Tradeoff) -> None:
    one = replace(tradeoff, settings=tradeoff.settings[:1])
    assert len(settings_table(one).rows) == 1
    assert "untouched base" in tradeoff_plot(one).svg


def test_samplers_are_shown_by_shape(tradeoff: Tradeoff) -> None:
    slow = [replace(setting, sampler="ddim-50", num_passes=30) for setting in tradeoff.settings]
    plot = tradeoff_plot(replace(tradeoff, settings=[*tradeoff.settings, *slow]))
    for word in ("dpm-20", "ddim-50", "strength 0.6"):
        assert word in plot.svg, word
    at_one = [setting for setting in [*tradeoff.settings, *slow] if setting.strength == 0.6]
    assert "guidance 4" in tradeoff_plot(replace(tradeoff, settings=at_one)).svg
