"""Reading YAML that others wrote: nothing in it can run, nothing is silently overruled."""

import pytest

from training_maps.config.strict_yaml import read_yaml
from training_maps.utils.errors import InputError


def read(tmp_path, text):
    path = tmp_path / "a.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_yaml(path)


def test_what_a_file_holds(tmp_path):
    text = "a: [1, 2.5, 'x', true, null]\nb: {c: ä}\n# a comment\nd: |\n  two\n  lines\n"
    assert read(tmp_path, text) == {
        "a": [1, 2.5, "x", True, None], "b": {"c": "ä"}, "d": "two\nlines\n",
    }  # fmt: skip
    assert read(tmp_path, "just words") == "just words"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("# a comment\n", "is empty"),
        ("a: 1\nb: 2\na: 3\n", "line 3: a is there twice, in line 1 too"),
        ("x:\n  - {a: 1, a: 1}\n", "line 2: a is there twice, in line 2 too"),
        ("a: &one [1]\nb: *one\n", "line 2: aliases"),
        ("a: !!python/object/apply:os.system [ls]\n", r"is not valid YAML \(line 1"),
        ("a: [1\nb: 2\n", r"is not valid YAML \(line 2"),
        ("a: 2024-13-45\n", "is not valid YAML"),
        ("a: 1\n---\nb: 2\n", "is not valid YAML"),
        ("[" * 60 + "]" * 60, "line 1: is nested more than 50 levels deep"),
        ("[" * 100_000, "nested more than 50|not valid YAML"),
        (b"a: \xff\n", r"is no text in UTF-8 \(byte 3"),
        (b"a: \x00\n", "is not valid YAML"),
    ],
)
def test_what_is_refused_and_where(tmp_path, text, message):
    with pytest.raises(InputError, match=message) as caught:
        read(tmp_path, text)
    assert str(caught.value).startswith(str(tmp_path / "a.yaml"))
    assert len(str(caught.value).splitlines()) == 1


def test_the_same_key_on_two_levels_is_no_repeat(tmp_path):
    assert read(tmp_path, "a: {a: 1}\nb: {a: 2}\n") == {"a": {"a": 1}, "b": {"a": 2}}


def test_files_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.yaml: cannot be read \(No such file"):
        read_yaml(tmp_path / "none.yaml")
    with pytest.raises(InputError, match=r"cannot be read \(Is a directory"):
        read_yaml(tmp_path)
