"""``docs/sqlbuilder-features.md`` says what the databases that are here really have."""

import pytest
from support import sqlfeatures, sqlservers

from godropbox.database.sqlbuilder.dialects import DIALECTS, FEATURES

SAID = sqlfeatures.shape(sqlfeatures.PAGE.read_text(encoding="utf-8"))
ASKED = sqlfeatures.asked(sqlfeatures.PAGE.read_text(encoding="utf-8"))
EXAMPLES = [each for listed in sqlfeatures.examples().values() for each in listed]


def test_the_page_has_every_feature_and_every_example() -> None:
    rows = [f"Features: {feature}" for feature in FEATURES]
    assert list(SAID) == rows + [f"{each.area}: {each.title}" for each in EXAMPLES]


def test_no_dialect_is_left_out() -> None:
    known = {"works", "other words", "refused", "no"}
    assert {cell for cells in SAID.values() for cell in cells} <= known
    assert set(sqlfeatures.COLUMNS) == set(DIALECTS)
    for feature in FEATURES:
        has = [feature in DIALECTS[name].features for name in sqlfeatures.COLUMNS]
        assert has == [cell == "works" for cell in SAID[f"Features: {feature}"]], feature
        refused = "refused" in SAID[f"Features: {feature}"]
        assert refused == (feature == "optimizer hints")  # as the page says above the tables


def test_an_example_is_refused_where_the_page_says_so() -> None:
    """Of every dialect, also of those whose server is not here."""
    for each in EXAMPLES:
        for name, said in zip(sqlfeatures.COLUMNS, SAID[f"{each.area}: {each.title}"], strict=True):
            renders = sqlfeatures.renders(each, DIALECTS[name])
            assert renders == (said == "works"), (each.title, name)


@pytest.mark.parametrize("dialect", [*sqlservers.mysql_like(), "postgresql", "sqlite"])
def test_the_page_is_right_about_a_server(dialect: str) -> None:
    examples, features = sqlfeatures.ask(dialect)
    column = sqlfeatures.COLUMNS.index(dialect)
    found = {f"Features: {title}": result for title, result in features.items()}
    found |= {f"{area}: {title}": result for (area, title), result in examples.items()}
    said = {title: SAID[title][column] for title in SAID}
    if _number(sqlfeatures.versions()[dialect]) > _number(ASKED[column]):
        # A newer server may take a text that the one of the page did not know.
        newly = {title for title in said if (said[title], found[title]) == ("no", "refused")}
        said |= dict.fromkeys(newly, "refused")
    assert found == said


def _number(version: str) -> list[int]:
    return [int(part) for part in version.rpartition(" ")[2].split(".")]
