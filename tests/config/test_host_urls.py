"""URLs, proxies, host names and listening addresses in the configuration file."""

from __future__ import annotations

import pytest

from mirror.config import host_urls as urls


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
    assert urls.parse_url(text) == url
    assert urls.parse_url(url) == url


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
        urls.parse_url(value)
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
        urls.parse_web_url(url)


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
    assert urls.is_loopback(url) is loopback


def test_proxies() -> None:
    """A proxy is an origin; empty is none; credentials belong into the environment."""
    assert urls.parse_proxy("") == ""
    assert urls.parse_proxy("http://proxy:3128/") == "http://proxy:3128"
    with pytest.raises(ValueError, match="HTTPS_PROXY"):
        urls.parse_proxy("http://me:hunter2@proxy:3128")
    with pytest.raises(ValueError, match="without a path"):
        urls.parse_proxy("http://proxy/x")


def test_listen_addresses() -> None:
    """To listen takes an address and a port; empty is not to listen."""
    assert urls.parse_listen("") is None
    assert urls.parse_listen("127.0.0.1:0") == ("127.0.0.1", 0)
    assert urls.parse_listen("[::1]:80") == ("::1", 80)
    assert str(urls.parse_listen("[::1]:80")) == "[::1]:80"
    for value in (":80", "h", "h:", "h:65536", "::1:80", "h:80/", 80):
        with pytest.raises(ValueError, match="an address and a port"):
            urls.parse_listen(value)


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
    assert urls.parse_host(text) == name


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
        urls.parse_host(value)
