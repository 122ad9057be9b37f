import re
from pathlib import Path

import pytest

import dinocell
from dinocell.errors import ConfigError
from dinocell.io.plain_yaml import MAX_VALUES, parse_yaml


def test_values_are_plain_and_dates_stay_texts():
    text = "a: 1\nb: [1.5, true, null, x]\nday: 2026-02-30\nmoment: 2026-02-28 10:00:00\n"
    assert parse_yaml(text, "here") == {
        "a": 1, "b": [1.5, True, None, "x"], "day": "2026-02-30", "moment": "2026-02-28 10:00:00",
    }  # fmt: skip
    assert parse_yaml("", "here") is None


def test_no_other_module_reads_yaml():
    source = Path(dinocell.__file__).parent
    texts = {path.name: path.read_text(encoding="utf-8") for path in source.rglob("*.py")}
    assert {name for name, text in texts.items() if re.search(r"yaml\.\w*(load|Loader)", text)} == {
        "plain_yaml.py"
    }


def test_aliases_and_merges_are_read_where_they_are_few():
    text = "one: &a {x: 1}\ntwo: *a\nthree: {<<: *a, x: 2}\n"
    assert parse_yaml(text, "here") == {"one": {"x": 1}, "two": {"x": 1}, "three": {"x": 2}}


def _bomb(levels):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed: !!int x", "invalid literal"),
        ("seed: !!float x", "could not convert"),
        ("seed: !!bool x", "here is not YAML"),
        ("seed: !!timestamp 2026-02-30", "day is out of range"),
        ("seed: !!timestamp x", "here is not YAML"),
        ("seed: !!int ''", "here is not YAML"),
        ("seed: 1" + "0" * 5000, "here is not YAML"),
        ("!!python/object/apply:os.system ['true']", "could not determine a constructor"),
        ("a: [", "here is not YAML"),
        ("a: 1\nb: 2\na: 3", "key 'a' occurs twice.*line 3"),
        ("a: {b: 1, 'b': 2}", "key 'b' occurs twice"),
        ("a: &a [*a]", "refers to itself"),
        ("&a {b: {c: *a}}", "refers to itself"),
        ('a: "x\\0y"', "holds a NUL"),
        ("a: \0", "special characters"),
        ("? [1, 2]\n: 3", "unhashable key"),
        ("[" * 3000 + "]" * 3000, "nested too deeply"),
        (_bomb(9), f"more than {MAX_VALUES} values"),
        ("a: *b", "undefined alias"),
        ("a: 1\n--- \nb: 2", "single document"),
    ],
)
def test_what_is_not_yaml_that_can_be_read_is_refused_in_one_line(text, message):
    with pytest.raises(ConfigError, match=message) as refused:
        parse_yaml(text, "here")
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 400


def test_a_text_that_is_no_unicode_is_refused():
    with pytest.raises(ConfigError, match="not YAML that can be read"):
        parse_yaml(r'output: "\uD800"', "here")
