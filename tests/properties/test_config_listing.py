"""What is made of the settings' declarations is up to date: config.yaml, which the docs show."""

import pytest
from tools.config_listing import ROOT, files, with_part


@pytest.mark.parametrize("path", files(), ids=lambda path: path.name)
def test_the_listing_of_all_keys_is_up_to_date(path):
    advice = f"{path.relative_to(ROOT)}: run python -m tools.config_listing --write"
    assert path.read_text(encoding="utf-8") == files()[path], advice


def test_the_docs_show_the_listing():
    assert '```yaml\n--8<-- "config.yaml"\n```' in (ROOT / "docs/configuration.md").read_text(
        "utf-8"
    )


def test_what_is_written_by_hand_stays():
    text = "above\nfirst\nold\nlast\nbelow\n"
    assert with_part(text, "new", "first", "last") == "above\nfirst\n\nnew\n\nlast\nbelow\n"
    with pytest.raises(ValueError, match="expected the lines 'first' and 'last'"):
        with_part("above\nfirst\n", "new", "first", "last")
