from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.errors import BadAnswer
from mirror.github.answers import (
    AssetAnswer,
    Commit,
    FileAnswer,
    Installation,
    ReleaseAnswer,
    RepositoryAnswer,
    decode,
    utc,
)

ASSET = {"id": 1, "name": "a", "size": 3, "state": "uploaded"}
RELEASE = {"id": 1, "tag_name": "v1", "draft": False, "prerelease": False, "assets": [ASSET]}
OFFSETS = st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(timezone)


def test_the_least_that_a_host_may_send_is_enough() -> None:
    """What the schema lets a host leave out, or set to null, has a value."""
    optional = "name body target_commitish created_at published_at author html_url upload_url"
    nulls = dict.fromkeys((*optional.split(), "immutable"))
    release = decode(RELEASE, ReleaseAnswer, "github").value()
    assert decode(RELEASE | nulls, ReleaseAnswer, "github").value() == release
    assert (release.name, release.author, release.published_at) == ("", "", None)
    assert release.assets[0].content_type == "application/octet-stream"


def test_unknown_fields_are_ignored() -> None:
    """Hosts add fields without a new version of the API."""
    more = {"reactions": {"+1": 3}, "assets": [ASSET | {"uploader": None, "download_count": 7}]}
    assert decode(RELEASE | more, ReleaseAnswer, "github") == decode(
        RELEASE, ReleaseAnswer, "github"
    )


@pytest.mark.parametrize(
    ("shape", "data", "message"),
    [
        (list[ReleaseAnswer], {}, "expected `array`, got `object`"),
        (
            list[ReleaseAnswer],
            [RELEASE, RELEASE, RELEASE, RELEASE | {"assets": [ASSET | {"size": "3"}]}],
            "[3].assets[0].size: expected `int`, got `str`",
        ),
        (AssetAnswer, {"id": 1, "name": "a", "state": "uploaded"}, "size: missing"),
        (AssetAnswer, ASSET | {"size": 2**63}, f"size: expected `int` <= {2**63 - 1}"),
        (
            Commit,
            {"sha": "0" * 40, "tree": {"sha": "main"}},
            "tree.sha: not in the expected format",
        ),
        (
            RepositoryAnswer,
            {"id": 1, "full_name": "a/..", "fork": False},
            "full_name: not in the expected format",
        ),
        (FileAnswer, {"content": "a"}, "the content is not Base64"),
    ],
)
def test_what_differs_is_named_by_its_path(shape: Any, data: Any, message: str) -> None:
    """The host, the path and the types are in the error."""
    with pytest.raises(BadAnswer) as raised:
        decode(data, shape, "github")
    assert str(raised.value).startswith("github: unexpected JSON in the API's answer: ")
    assert message in str(raised.value)


def test_an_enterprise_has_no_login() -> None:
    """An App may be installed in an enterprise."""
    found = decode({"id": 1, "account": {"slug": "acme", "id": 2}}, Installation, "github")
    assert found.account
    assert found.account.login is None


def test_a_file_is_text() -> None:
    """Hosts break Base64 into lines."""
    text = "hello ✓\n" * 20
    content = base64.encodebytes(text.encode()).decode()
    assert decode({"content": content}, FileAnswer, "github").content == text


@given(st.none() | st.datetimes(timezones=st.none() | OFFSETS | st.just(UTC)))
def test_a_date_is_in_utc_and_leaves_room_to_count_from(moment: datetime | None) -> None:
    """Dates at either end of the calendar are no error; between them nothing but the zone changes."""
    found = utc(moment)
    if moment is None or found is None:
        assert found is moment
        return
    assert found.utcoffset() == timedelta()
    assert (found + timedelta(days=365 * 900)).year > found.year
    if 1 < moment.year < 8999 and moment.tzinfo:
        assert found == moment
