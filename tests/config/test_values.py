from __future__ import annotations

from contextlib import suppress
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.config import values


@given(st.integers(0, values.LONGEST_DURATION // timedelta(milliseconds=1)))
def test_durations_round_trip(milliseconds: int) -> None:
    """What is written as a duration is read as the same duration."""
    duration = timedelta(milliseconds=milliseconds)
    assert values.parse_duration(values.format_duration(duration)) == duration


@given(st.integers(1, values.LARGEST_SIZE))
def test_sizes_round_trip(size: int) -> None:
    """What is written as a size is read as the same size, and the same a second."""
    assert values.parse_size(values.format_size(size)) == size
    assert values.parse_bandwidth(f"{values.format_size(size)}/s") == size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("15m", 900),
        ("24h", 86_400),
        ("7d", 604_800),
        ("1h30m", 5400),
        ("250ms", 0.25),
        ("0s", 0),
        ("3650d", 315_360_000),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    """A duration is numbers with units, the larger first."""
    assert values.parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "value",
    [
        *("", "90", "s", "1.5h", "-1s", " 1s", "1S", "5m1h", "1w", "٣s", "3651d", "9" * 500 + "s"),
        *("999999999d", 90, 1.5, True, [], {}, None, date(2024, 1, 1)),
    ],
)
def test_what_is_no_duration(value: object) -> None:
    """Anything else is refused in a sentence."""
    with pytest.raises(ValueError, match=r"^must "):
        values.parse_duration(value)


def test_zero_is_no_positive_duration() -> None:
    """A time-out of zero would end everything at once, and is refused."""
    with pytest.raises(ValueError, match="longer than zero"):
        values.parse_positive_duration("0s")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1B", 1),
        ("500kB", 500_000),
        ("10MB", 10_000_000),
        ("1GiB", 1_073_741_824),
        ("1.5 MiB", 1_572_864),
        ("2TB", 2 * 10**12),
    ],
)
def test_sizes(text: str, size: int) -> None:
    """MB is decimal, MiB is binary."""
    assert values.parse_size(text) == size


@pytest.mark.parametrize(
    "value", ["", "0", "0B", "10", "10mb", "1Mb", "-1MB", "1e3MB", "9999999TB", 10, [], "1GiB/s"]
)
def test_what_is_no_size(value: object) -> None:
    """A size has a unit, and is neither zero nor beyond all measure."""
    with pytest.raises(ValueError, match=r"^must "):
        values.parse_size(value)


def test_bandwidth() -> None:
    """A bandwidth is a size a second; "0" is no limit."""
    assert values.parse_bandwidth("0") == 0
    assert values.parse_bandwidth("50MB/s") == 50_000_000
    for value in ("50MB", "50", "MB/s", 0, "0/s"):
        with pytest.raises(ValueError, match=r"^must be a bandwidth"):
            values.parse_bandwidth(value)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://ghe.example.com", "https://ghe.example.com"),
        ("HTTPS://GHE.Example.com:443/", "https://ghe.example.com"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://h:80", "http://h"),
        ("https://[::1]:8443/base//", "https://[::1]:8443/base"),
    ],
)
def test_addresses_have_one_form(text: str, url: str) -> None:
    """An address is kept without its trailing slash, its default port and capital letters."""
    assert values.parse_url(text) == url
    assert values.parse_url(url) == url


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("ghe.example.com", "must start with https://"),
        ("ftp://ghe.example.com", "must start with https://"),
        ("https://", "has no host"),
        ("https:///path", "has no host"),
        ("https://me:hunter2@h", "user name or password"),
        ("https://me@h", "user name or password"),
        ("https://h?x=hunter2", "query"),
        ("https://h/#", "fragment"),
        ("https://h:0", "port"),
        ("https://h:99999", "port"),
        ("https://h:x", "port"),
        ("https://[::1", "not a valid URL"),
        ("https://a b", "characters"),
        ("https://bücher.example", "characters"),
        ("https://h\n.example", "characters"),
        ("https://a..b", "host name"),
        ("", "must start with"),
        (5, "not an integer"),
    ],
)
def test_what_is_no_address(value: object, words: str) -> None:
    """An address is http or https with a host and nothing secret; the sentence repeats none of it."""
    with pytest.raises(ValueError, match=words) as caught:
        values.parse_url(value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://api.github.com",
        "https://www.github.com",
        "https://ghe.example.com/api/v3",
        "https://api.sub.ghe.com",
    ],
)
def test_the_web_address_is_asked_for(url: str) -> None:
    """The API's address in place of the web address is a common mistake, and told."""
    with pytest.raises(ValueError, match="must be the web address"):
        values.parse_web_url(url)


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("http://localhost:1", True),
        ("http://127.9.9.9", True),
        ("http://[::1]:1", True),
        ("http://10.0.0.1", False),
        ("http://localhost.example.com", False),
        ("http://0.0.0.0", False),
    ],
)
def test_loopback(url: str, loopback: bool) -> None:
    """Only this machine itself is loopback."""
    assert values.is_loopback(url) is loopback


def test_proxies() -> None:
    """A proxy is an origin; empty is none; credentials belong into the environment."""
    assert values.parse_proxy("") == ""
    assert values.parse_proxy("http://proxy:3128/") == "http://proxy:3128"
    with pytest.raises(ValueError, match="HTTPS_PROXY"):
        values.parse_proxy("http://me:hunter2@proxy:3128")
    with pytest.raises(ValueError, match="without a path"):
        values.parse_proxy("http://proxy/x")


def test_listen_addresses() -> None:
    """To listen takes an address and a port; empty is not to listen."""
    assert values.parse_listen("") is None
    assert values.parse_listen("127.0.0.1:0") == ("127.0.0.1", 0)
    assert values.parse_listen("[::1]:80") == ("::1", 80)
    assert str(values.parse_listen("[::1]:80")) == "[::1]:80"
    for value in (":80", "h", "h:", "h:65536", "::1:80", "h:80/", 80):
        with pytest.raises(ValueError, match="an address and a port"):
            values.parse_listen(value)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("mirror.example.com", "mirror.example.com"),
        ("Mirror.Example.COM.", "mirror.example.com"),
        ("mirror", "mirror"),
        ("my_host", "my_host"),
        ("192.0.2.7", "192.0.2.7"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
    ],
)
def test_host_names_have_one_form(text: str, name: str) -> None:
    """So that two spellings of one host are equal."""
    assert values.parse_host(text) == name


@pytest.mark.parametrize(
    "value",
    [
        "",
        ".",
        "*",
        "*.example.com",
        "https://mirror.example.com",
        "mirror.example.com:443",
        "mirror.example.com/mirror",
        "192.0.2.7:80",
        "[::1]:80",
        "[mirror]",
        "a b",
        "a..b",
        "me@mirror",
        "m\u00fcller.example",
        "fe80::1%eth0",
        "a\n",
        "a" * 256,
        7,
        None,
    ],
)
def test_what_is_no_host_name(value: object) -> None:
    """A name in full: no scheme, no port, no path, no wildcard."""
    with pytest.raises(ValueError, match="must be a host name such as"):
        values.parse_host(value)


def test_dates() -> None:
    """A date is TOML's, or one in quotes, without a time."""
    assert values.parse_date(date(2024, 1, 31)) == date(2024, 1, 31)
    assert values.parse_date("2024-01-31") == date(2024, 1, 31)
    for value in ("2024-02-30", "20240131", "yesterday", "", 2024):
        with pytest.raises(ValueError, match="must be a date"):
            values.parse_date(value)


@pytest.mark.parametrize("text", ["*/15 * * * *", "0 4 * * MON-FRI", "30 2 1,15 * *", "0 0 29 2 *"])
def test_cron_lines(text: str) -> None:
    """A cron line has five fields."""
    assert values.parse_cron(text) == text


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("* * * *", "five fields"),
        ("* * * * * *", "five fields"),
        ("61 * * * *", "the minute of"),
        ("* * * * LUN", "the day-of-week of"),
        ("0 0 30 2 *", "never matches any time|day-of-month"),
        ("9" * 5000 + " * * * *", "five fields"),
        ("@daily", "five fields"),
        (5, "not an integer"),
    ],
)
def test_what_is_no_cron_line(value: object, words: str) -> None:
    """The field that is wrong is named."""
    with pytest.raises(ValueError, match=words):
        values.parse_cron(value)


@given(st.text(alphabet="0123456789*/,-#LW ", max_size=20) | st.text())
def test_no_cron_line_crashes(text: str) -> None:
    """Whatever stands there, it is a cron line or a sentence says that it is none."""
    with suppress(ValueError):
        assert values.parse_cron(text) == text


def test_version_specifiers() -> None:
    """Versions are chosen by a specifier; empty is no restriction."""
    assert values.parse_versions(">=1.2,<3") == ">=1.2,<3"
    assert values.parse_versions("") == ""
    for value in ("1.2", ">=x", "latest", 1):
        with pytest.raises(ValueError, match="version specifier"):
            values.parse_versions(value)


@pytest.mark.parametrize(
    "text", ["cli/cli", "a/b.c_d-e", "hashicorp/*", "o/v?", "o/[ab]*", "a_b/c"]
)
def test_sources(text: str) -> None:
    """A source is an owner and a repository or a pattern of them."""
    assert values.parse_source(text) == text


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("*/cli", "the owner cannot contain a wildcard"),
        ("cli", "OWNER/REPO"),
        ("a/b/c", "OWNER/REPO"),
        ("/b", "invalid owner"),
        ("a/", "invalid repository name"),
        ("a/..", "invalid repository name"),
        ("a/b c", "invalid repository name"),
        ("a/{b,c}*", "characters"),
        ("a/b.git", "without .git"),
        ("a" * 40 + "/b", "invalid owner"),
        ("a/" + "b" * 101, "invalid repository name"),
        ("https://github.com/cli/cli", "not a URL"),
        ("", "OWNER/REPO"),
        (1, "not an integer"),
    ],
)
def test_what_is_no_source(value: object, words: str) -> None:
    """What GitHub could not have is refused, and the usual mistakes have their own sentence."""
    with pytest.raises(ValueError, match=words):
        values.parse_source(value)


def test_excludes() -> None:
    """What a pattern leaves out has an owner and a repository, both with wildcards if wanted."""
    assert values.parse_exclude("*/*-archive") == "*/*-archive"
    for value in ("*-archive", "a/b/c", "", 1):
        with pytest.raises(ValueError, match="OWNER/REPO"):
            values.parse_exclude(value)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("mirrors/{name}", "unknown placeholder"),
        ("mirrors/{}", "unknown placeholder"),
        ("mirrors/{repo", "OWNER/REPO"),
        ("mirrors", "OWNER/REPO"),
        ("{owner}/{repo}/x", "OWNER/REPO"),
        ("mirrors/*", "wildcard"),
        ("mirrors/a b", "repository name"),
        ("-/a", "owner"),
        ("https://ghe/mirrors/a", "not a URL"),
        (["a/b"], "not a list"),
    ],
)
def test_what_is_no_target(value: object, words: str) -> None:
    """A target is an owner and a repository; {owner} and {repo} are the only placeholders."""
    with pytest.raises(ValueError, match=words):
        values.parse_target(value)


def test_targets_are_filled() -> None:
    """Placeholders take the source's names, and nothing in these names is a placeholder again."""
    assert values.fill("m/{owner}-{repo}", "cli", "{owner}") == "m/cli-{owner}"
    assert values.parse_target("{owner}/{repo}") == "{owner}/{repo}"


@given(st.text())
def test_quotes_are_one_printable_line(text: str) -> None:
    """What a message repeats cannot break the terminal or the line."""
    assert values.quote(text).isprintable()
