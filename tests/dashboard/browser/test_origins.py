"""Names and origins: what is ours, and everything that only looks like it."""

from __future__ import annotations

import pytest

from qtui.dashboard.browser.gate import Gate
from qtui.dashboard.browser.origins import Origins, is_loopback, public_origin
from qtui.errors import InputError

PUBLIC = "https://pod-8080.proxy.example"
LOCAL = Origins("127.0.0.1")
PROXIED = Origins("0.0.0.0", PUBLIC)
OPEN = Origins("0.0.0.0")


@pytest.mark.parametrize(
    ("origins", "host", "origin"),
    [
        (LOCAL, "127.0.0.1:8080", "http://127.0.0.1:8080"),
        (LOCAL, "localhost:9000", "http://localhost:9000"),  # ssh -L 9000:127.0.0.1:8080
        (LOCAL, "[::1]:8080", "http://[::1]:8080"),
        (LOCAL, "LOCALHOST", "http://localhost"),
        (PROXIED, "pod-8080.proxy.example", PUBLIC),
        (PROXIED, "POD-8080.proxy.example:443", PUBLIC),
        (PROXIED, "127.0.0.1:8080", "http://127.0.0.1:8080"),
        (OPEN, "10.0.0.7:8080", "http://10.0.0.7:8080"),
        (Origins("gpu-box"), "gpu-box:8080", "http://gpu-box:8080"),
    ],
)
def test_a_name_of_ours_gives_the_origin_of_its_pages(
    origins: Origins, host: str, origin: str
) -> None:
    assert origins.of_request(host) == origin
    assert origins.may_connect(origin, host)


@pytest.mark.parametrize(
    ("origins", "host"),
    [
        (LOCAL, "rebound.example:8080"),
        (LOCAL, "127.0.0.1.rebound.example"),
        (LOCAL, "localhost.rebound.example"),
        (LOCAL, "10.0.0.7:8080"),
        (LOCAL, ""),
        (LOCAL, "127.0.0.1:80:80"),
        (LOCAL, "127.0.0.1/..@rebound.example"),
        (LOCAL, "rebound.example@127.0.0.1"),
        (LOCAL, "127.0.0.1 rebound.example"),
        (LOCAL, "127.0.0.1:x"),
        (LOCAL, "[::1"),
        (PROXIED, "pod-8081.proxy.example"),
        (PROXIED, "pod-8080.proxy.example:8443"),
        (PROXIED, "10.0.0.7:8080"),  # the plain port of what has an https address
        (OPEN, "rebound.example:8080"),
    ],
)
def test_another_name_is_refused(origins: Origins, host: str) -> None:
    assert origins.of_request(host) is None
    assert not origins.may_connect(f"http://{host}", host)


@pytest.mark.parametrize(
    ("origins", "origin", "host"),
    [
        (LOCAL, "https://evil.example", "127.0.0.1:8080"),
        (LOCAL, "http://127.0.0.1:9999", "127.0.0.1:8080"),  # another program on this machine
        (LOCAL, "https://127.0.0.1:8080", "127.0.0.1:8080"),
        (LOCAL, "null", "127.0.0.1:8080"),
        (LOCAL, "", "127.0.0.1:8080"),
        (PROXIED, "http://pod-8080.proxy.example", "pod-8080.proxy.example"),
        (PROXIED, "https://other-8080.proxy.example", "pod-8080.proxy.example"),
    ],
)
def test_pages_of_another_origin_may_not_connect(origins: Origins, origin: str, host: str) -> None:
    assert not origins.may_connect(origin, host)


def test_a_proxy_may_pass_on_its_own_name_for_us() -> None:
    assert PROXIED.may_connect(PUBLIC, "127.0.0.1:8080")


@pytest.mark.parametrize(
    ("given", "origin"),
    [
        ("https://Pod-8080.Proxy.example/", PUBLIC),
        ("https://pod-8080.proxy.example:443", PUBLIC),
        ("http://10.0.0.7:8080", "http://10.0.0.7:8080"),
        ("https://[2001:db8::1]:8443", "https://[2001:db8::1]:8443"),
    ],
)
def test_a_public_url_is_an_origin(given: str, origin: str) -> None:
    assert public_origin(given) == origin


@pytest.mark.parametrize(
    "given",
    [
        "pod-8080.proxy.example",
        "ftp://pod.example",
        "https://",
        "https://user:secret@pod.example",
        "https://pod.example/proxy/8080",
        "https://pod.example/?token=x",
        "https://pod.example:99999",
        "https://[::1",
        "https://pod exämple",
        "javascript:alert(1)",
    ],
)
def test_anything_else_is_no_public_url(given: str) -> None:
    with pytest.raises(InputError, match="public-url"):
        public_origin(given)


def test_loopback_is_loopback_by_whatever_name() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.9.9.9", "::1", "localhost", "LocalHost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "", "10.0.0.7", "localhost.example")))


def test_a_token_opens_once_and_only_the_newest_does() -> None:
    gate = Gate()
    assert gate.exchange("") is None  # there is none yet
    old, new = gate.new_token(), gate.new_token()
    assert gate.exchange(old) is None
    assert gate.exchange(new[:-1]) is None
    assert gate.exchange("\ud800é") is None
    cookie = gate.exchange(new)
    assert cookie
    assert cookie != new
    assert gate.exchange(new) is None
    assert gate.knows(cookie)
    assert not gate.knows("")
    assert not gate.knows(new)
    second = gate.exchange(gate.new_token())
    assert second
    assert gate.knows(second)
    assert gate.knows(cookie)  # whoever is in stays in
