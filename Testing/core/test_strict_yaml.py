"""Settings in YAML: what stands there is what is meant, or one line says why not."""

from __future__ import annotations

import pytest

from MissingModalityLib.core import strict_yaml

LISTS = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]\n" for level in range(1, 9)
)
MAPPINGS = "a0: &a0 {x: 1, y: 2}\n" + "".join(
    f"a{level}: &a{level} {{{', '.join(f'k{key}: *a{level - 1}' for key in range(9))}}}\n"
    for level in range(1, 9)
)
MERGED = "a0: &a0 {x: 1}\n" + "".join(
    f"a{level}: &a{level}\n  <<: [{', '.join([f'*a{level - 1}'] * 9)}]\n" for level in range(1, 9)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LISTS, "more than 10000 values"),
        (MAPPINGS, "more than 10000 values"),
        (MERGED, "more than 10000 values"),
        ("a: &a [*a]", "within itself"),
        ("a: &a {b: {c: *a}}", "within itself"),
        ("a: " + "[" * 20_000, "nest too deep"),
        ("a: " + "{b: " * 500, "nest too deep"),
        ("".join(f"{' ' * level}a:\n" for level in range(900)), "nests too deep"),
        ("a: 1\nb: 2\na: 3", "'a' is given twice in line 3"),
        ("a: 017", "017.*in line 1"),
        ("a: 1:30", "no decimal number"),
        ("a: *b", "undefined alias"),
        ("a: 1\n---\nb: 2", "another document"),
        ("a: \x00", "special characters"),
        ("\ta: 1", "cannot start any token"),
        ("a: !!python/object/apply:os.system ['exit']", "could not determine a constructor"),
        ("a: !!bool maybe", "maybe"),
        (f"a: {'9' * 9000}", "digits"),
    ],
)
def test_what_is_no_plain_setting_is_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        strict_yaml.loads(text)
    assert "\n" not in str(caught.value)


def test_aliases_and_brackets_of_people_are_read() -> None:
    text = "a: &a {x: [1, [2, {y: 3}]]}\nb: *a\nc:\n  <<: *a\n  z: 0x10\n"
    a = {"x": [1, [2, {"y": 3}]]}
    assert strict_yaml.loads(text) == {"a": a, "b": a, "c": {**a, "z": 16}}
    assert strict_yaml.loads("") is None
