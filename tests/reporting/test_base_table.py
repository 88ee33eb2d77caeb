"""The table of a base's measurements."""

import json
from pathlib import Path

import pytest

from pixelpersona.reporting.base_table import BEGIN, END, base_table, replace_table

RESULTS = Path(__file__).parents[2] / "experiments" / "packaged_base" / "results.json"


def test_the_table_replaces_what_stands_between_the_comments(tmp_path: Path) -> None:
    measured = json.loads(RESULTS.read_text(encoding="utf-8"))
    table = base_table(measured)
    assert f"{measured['autoencoder']['photo']['psnr']:.2f} dB PSNR" in table
    assert {line.count("|") for line in table.splitlines()} == {3}
    card = tmp_path / "CARD.md"
    card.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")
    replace_table(card, table)
    assert card.read_text(encoding="utf-8") == f"before\n{BEGIN}\n{table}\n{END}\nafter\n"


def test_shares_of_pictures_have_their_interval_where_the_number_is_known() -> None:
    """Wilson's interval of 83 of 100 is 0.7445 to 0.8911."""
    measured = json.loads(RESULTS.read_text(encoding="utf-8"))
    assert "| accuracy of gender, ethnicity | 83.0 %, 75.5 % |" in base_table(measured)
    measured["features"] |= {"num_gender": 100, "num_ethnicity": 0}
    measured["text_to_image"] |= {"gender_agreement": 1.0, "num_gender": 64}
    table = base_table(measured)
    assert "| accuracy of gender, ethnicity | 83.0 % (74.5 to 89.1), 75.5 % |" in table
    assert "as in the caption | 100.0 % (94.3 to 100.0) |" in table


def test_a_card_without_the_comments_stays_as_it_is(tmp_path: Path) -> None:
    card = tmp_path / "CARD.md"
    card.write_text(f"{BEGIN}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"measure\.card=.*needs a line"):
        replace_table(card, "")
    assert card.read_text(encoding="utf-8") == f"{BEGIN}\n"
