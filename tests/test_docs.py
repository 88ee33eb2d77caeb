"""The documents: links resolve, commands compose, settings exist, and translations agree."""

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from pixelpersona.cli.overrides import quote
from pixelpersona.cli.schemas import ConfigSource, group_names, schema_keys, to_config
from tests.composing import COMMANDS, compose_tree, root_schema

ROOT = Path(__file__).resolve().parent.parent
CONF = ROOT / "conf"
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in (
        "README*.md",
        "docs/*.md",
        "CONTRIBUTING.md",
        "MODEL_CARD.md",
        "benchmarks/README.md",
        "experiments/README.md",
    )
    for path in ROOT.glob(pattern)
)
TRANSLATIONS = [("README.md", "README.ko.md"), ("docs/stylize.md", "docs/stylize.ko.md")]
GROUPS = group_names(CONF) - {"hydra"}
MISTYPED = {"lora.rnak"}  # shown in the documents as an example of a mistake
CHECKED_FOLDERS = ("benchmarks/", "conf/", "docs/", "experiments/", "pixelpersona/", "tests/")


@cache
def text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def code_blocks(page: str) -> list[tuple[str, str]]:
    """(language, code) of every fenced block, including those inside a list."""
    found = re.findall(r"^( *)```(\w*)\n(.*?)^\1```$", text(page), re.MULTILINE | re.DOTALL)
    return [
        (language, re.sub(rf"^{indent}", "", code, flags=re.MULTILINE)) for indent, language, code in found
    ]


def prose(page: str) -> str:
    return re.sub(r"^ *```.*?^ *```$", "", text(page), flags=re.MULTILINE | re.DOTALL)


def inline_code(page: str) -> list[str]:
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose(page))]


def headings(page: str) -> list[tuple[int, str]]:
    return [(len(marks), title) for marks, title in re.findall(r"^(#+) (.+)$", prose(page), re.MULTILINE)]


def anchors(page: str) -> set[str]:
    """The anchors that GitHub gives a page's headings."""
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for _, title in headings(page)}


def command_lines(page: str) -> Iterator[list[str]]:
    """The words of every shell command in a page, without comments."""
    lines = [line for language, code in code_blocks(page) if language == "sh" for line in code.splitlines()]
    for line in [*lines, *(code for code in inline_code(page) if code.startswith(("python ", "make ")))]:
        for part in line.split(" && "):
            words = shlex.split(part, comments=True)
            if words:
                yield words


def project_commands(page: str) -> list[tuple[str, tuple[str, ...]]]:
    """(command, arguments) of every `... -m pixelpersona.COMMAND ARGUMENTS` in a page."""
    found = []
    for words in command_lines(page):
        for index, word in enumerate(words):
            if re.fullmatch(r"pixelpersona\.\w+", word) and words[index - 1] == "-m":
                found.append((word.removeprefix("pixelpersona."), tuple(words[index + 1 :])))
    return found


def compose_command(command: str, arguments: tuple[str, ...]) -> DictConfig:
    """The configuration of a command line, checked by its schema; for a sweep, that of its first job."""
    words = [word for word in arguments if not word.startswith("-")] or COMMANDS[command]
    overrides = []
    for override in OverridesParser.create().parse_overrides(quote(words, schema_keys(root_schema(command)))):
        if override.is_sweep_override():
            overrides.append(f"{override.key_or_group}={next(override.sweep_string_iterator())}")
        else:
            overrides.append(str(override.input_line))
    return compose_tree(command, *overrides)


@cache
def all_keys() -> frozenset[str]:
    """Every dotted key of every command."""

    def flat(tree: dict[str, Any], prefix: str = "") -> Iterator[str]:
        for key, value in tree.items():
            yield prefix + key
            if isinstance(value, dict):
                yield from flat(value, f"{prefix}{key}.")

    return frozenset(
        key
        for command in COMMANDS
        for key in flat(OmegaConf.to_container(compose_command(command, ())))  # type: ignore[arg-type]
    )


def settings_in(page: str) -> set[str]:
    """The words in a page's inline code of the form `group.key`, `group.key=value` or `group=option`."""
    words = [word.rstrip(",;") for code in inline_code(page) for word in code.split()]
    keyed = [word for word in words if re.fullmatch(r"[a-z_]+(\.[a-z_0-9]+)*(=.*)?", word)]
    return {word for word in keyed if re.split(r"[.=]", word)[0] in GROUPS and re.search(r"[.=]", word)}


@pytest.mark.parametrize("page", PAGES)
def test_links_resolve(page: str) -> None:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"https?://", link):
            continue
        path, _, anchor = link.partition("#")
        target = ((ROOT / page).parent / path).resolve() if path else ROOT / page
        if not target.exists() or (anchor and anchor not in anchors(target.relative_to(ROOT).as_posix())):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", PAGES)
def test_files_named_in_a_page_exist(page: str) -> None:
    named = {
        word
        for code in inline_code(page)
        for word in code.split()
        if word.startswith(CHECKED_FOLDERS) and not re.search(r"[<>*{}=]", word)
    }
    made_by_user = {"experiments/my-study", "experiments/ranks"}
    assert {word for word in named - made_by_user if not (ROOT / word).exists()} == set()


@pytest.mark.parametrize(
    ("command", "arguments"),
    sorted({command for page in PAGES for command in project_commands(page)}),
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_every_command_line_composes(command: str, arguments: tuple[str, ...]) -> None:
    config = compose_command(command, arguments)
    chosen = config.hydra.runtime.choices
    to_config(config)  # raises for missing values and unresolved interpolations
    given = {key: value.split(",")[0] for key, _, value in (word.partition("=") for word in arguments)}
    options = {group: given[group] for group in GROUPS & given.keys()}
    assert {group: chosen[group] for group in options} == options


@pytest.mark.parametrize("page", PAGES)
def test_every_setting_exists(page: str) -> None:
    unknown = set()
    for word in settings_in(page) - MISTYPED:
        key, _, value = word.partition("=")
        if "." in key:
            exists = key in all_keys()
        elif re.fullmatch(r"\w+", value):
            exists = value in ConfigSource("train", CONF).options(key)
        else:  # `optimizer=...`
            exists = True
        if not exists:
            unknown.add(word)
    assert unknown == set()


def test_every_make_target_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", text("Makefile"), re.MULTILINE))
    studies = re.search(r"^STUDIES := (.*)$", text("Makefile"), re.MULTILINE)
    assert studies
    targets |= {f"study-{name}" for name in studies[1].split()}
    used = {
        word
        for page in PAGES
        for words in command_lines(page)
        if "make" in words
        for word in words[words.index("make") + 1 :]
        if "=" not in word
    }
    assert used >= {"demo", "test", "setup"}
    assert used - targets == set()


def test_pages_are_short() -> None:
    long = {page for page in PAGES if page.startswith(("README", "docs/")) and text(page).count("\n") > 200}
    assert long == set()


@pytest.mark.parametrize(("page", "translation"), TRANSLATIONS)
def test_translations_have_the_same_headings_commands_and_settings(page: str, translation: str) -> None:
    assert [level for level, _ in headings(translation)] == [level for level, _ in headings(page)]

    def blocks(name: str) -> list[list[str]]:
        return [shlex.split(code, comments=True) for _, code in code_blocks(name)]

    assert blocks(translation) == blocks(page)

    def pictures(name: str) -> list[str]:
        return re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text(name))

    assert pictures(translation) == pictures(page)

    def settings(name: str) -> set[str]:
        return {word.partition("=")[0] for word in settings_in(name)}

    assert settings(translation) == settings(page)


def test_the_readme_links_to_every_page() -> None:
    """In its table of the pages in docs/."""
    linked = set(re.findall(r"\]\((docs/[\w.-]+\.md)\)", text("README.md")))
    assert linked == {page for page in PAGES if page.startswith("docs/")}
