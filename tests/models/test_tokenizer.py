"""Words of the training captions are single tokens, and the tokenizer can be saved and loaded."""

from pathlib import Path

from transformers import CLIPTokenizer

from pixelpersona.models.tokenizer import train_tokenizer

PROMPT = "pixel art portrait, 16-color style"


def test_a_known_prompt_takes_few_tokens(tmp_path: Path) -> None:
    tokenizer = train_tokenizer([PROMPT, "a photo of a 26 year old woman"], tmp_path / "t")
    assert len(tokenizer.tokenize(PROMPT)) == 9  # CLIP's pattern splits numbers into digits
    assert {"vocab.json", "merges.txt"} <= {file.name for file in (tmp_path / "t").iterdir()}
    tokenizer.save_pretrained(tmp_path / "saved")
    again = CLIPTokenizer.from_pretrained(tmp_path / "saved")
    assert again(PROMPT).input_ids == tokenizer(PROMPT).input_ids
    assert (
        again.decode(again(PROMPT).input_ids, skip_special_tokens=True)
        == "pixel art portrait , 1 6 - color style"
    )


def test_unknown_words_are_split_into_letters(tmp_path: Path) -> None:
    tokenizer = train_tokenizer([PROMPT], tmp_path / "t")
    assert len(tokenizer.tokenize("zebra")) == 5
