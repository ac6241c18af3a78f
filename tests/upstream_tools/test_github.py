"""The client against a real HTTP server: well-behaved, slow, broken, rate-limited, hostile."""

from __future__ import annotations

import json
import logging
import re
import socket
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest

from aiterfix.errors import UsageError
from aiterfix.upstream.cache import Cache, CacheEntry
from aiterfix.upstream.github import (
    BadAnswerError,
    GitHub,
    GitHubError,
    Limits,
    NotFoundError,
    RateLimitedError,
    RefusedError,
    UnreachableError,
)
from aiterfix.upstream.pulls import Pull, PullState, pick_comparison, pick_pull, read_pull
from tests.upstream_tools.github_server import FakeGitHub, Request, pull

PATH = "/repos/ROCm/aiter/pulls/7"
TOKEN = "ghp_secretsecretsecret"


@pytest.fixture
def server() -> Iterator[FakeGitHub]:
    running = FakeGitHub()
    yield running
    running.close()


class Client(GitHub):
    """A client whose pauses are recorded instead of waited for."""

    def __init__(self, server: FakeGitHub | str, folder: Path, *, token: str = "", whole: float = 5.0) -> None:
        self.pauses: list[float] = []
        api = server if isinstance(server, str) else server.api
        limits = Limits(connect=1.0, read=0.4, whole=whole)
        super().__init__(Cache(folder), api=api, token=token, limits=limits, sleep=self.pauses.append)

    def pull(self) -> Pull:
        return read_pull(self.fetch(PATH, pick_pull).facts)


@pytest.fixture
def client(server: FakeGitHub, tmp_path: Path) -> Client:
    return Client(server, tmp_path / "cache")


@pytest.mark.parametrize(
    ("changes", "state", "merge"),
    [
        ({}, PullState.OPEN, ""),
        ({"state": "closed", "closed_at": "2026-05-01T00:00:00Z"}, PullState.CLOSED, ""),
        (
            {
                "state": "closed",
                "merged": True,
                "merged_at": "2026-05-01T00:00:00Z",
                "closed_at": "2026-05-01T00:00:01Z",
                "merge_commit_sha": "a" * 40,
            },
            PullState.MERGED,
            "a" * 40,
        ),
    ],
)
def test_merged_decides_and_not_the_merge_commit(
    server: FakeGitHub, client: Client, changes: dict[str, object], state: PullState, merge: str
) -> None:
    server.put("ROCm/aiter", 7, **changes)
    found = client.pull()
    assert (found.state, found.merge, found.head) == (state, merge, f"{7:040x}")
    assert server.documents[PATH]["merge_commit_sha"]


def test_asks_as_the_api_wants_it(server: FakeGitHub, client: Client) -> None:
    server.put("ROCm/aiter", 7)
    client.pull()
    headers = server.requests[0].headers
    assert headers["accept"] == "application/vnd.github+json"
    assert headers["x-github-api-version"] == "2022-11-28"
    assert headers["user-agent"].startswith("aiterfix/")
    assert "authorization" not in headers
    assert "if-none-match" not in headers


def test_a_second_request_is_conditional_and_costs_no_answer(server: FakeGitHub, client: Client) -> None:
    server.put("ROCm/aiter", 7)
    first = client.fetch(PATH, pick_pull)
    second = client.fetch(PATH, pick_pull)
    assert server.requests[1].headers["if-none-match"].startswith('W/"')
    assert second.facts == first.facts
    assert second.checked_at >= first.checked_at
    server.put("ROCm/aiter", 7, state="closed")
    assert client.pull().state is PullState.CLOSED


def test_not_modified_without_having_asked_is_refused(server: FakeGitHub, client: Client) -> None:
    server.override = lambda request: request.answer(304)
    with pytest.raises(BadAnswerError, match="304"):
        client.pull()


def test_the_token_is_sent_and_shown_nowhere(
    server: FakeGitHub, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    server.put("ROCm/aiter", 7)
    client = Client(server, tmp_path, token=f" {TOKEN}\n")
    client.pull()
    assert server.requests[0].headers["authorization"] == f"Bearer {TOKEN}"
    shown = [repr(client), str(client), caplog.text, "".join(capfd.readouterr())]
    for status in (401, 403, 404, 500, 302):
        server.override = lambda request, status=status: request.answer(status, b"{}")
        with pytest.raises(GitHubError) as error:
            client.pull()
        shown.append(str(error.value))
    shown += [p.read_text() for p in tmp_path.rglob("*.json")]
    assert len(shown) > 9
    assert not [s for s in shown if TOKEN in s]


@pytest.mark.parametrize("token", ["with space", "with\nnewline", "ümlaut", "tab\there"])
def test_a_token_that_is_none_is_refused_unseen(tmp_path: Path, token: str) -> None:
    with pytest.raises(UsageError) as error:
        GitHub(Cache(tmp_path), token=token)
    assert token not in str(error.value)


def test_netrc_is_not_read(server: FakeGitHub, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password hidden\n")
    monkeypatch.setenv("NETRC", str(netrc))
    server.put("ROCm/aiter", 7)
    client.pull()
    assert "authorization" not in server.requests[0].headers


def test_answers_with_and_without_a_token_are_kept_apart(server: FakeGitHub, tmp_path: Path) -> None:
    server.put("ROCm/aiter", 7)
    Client(server, tmp_path).pull()
    Client(server, tmp_path, token=TOKEN).pull()
    assert "if-none-match" not in server.requests[1].headers


@pytest.mark.parametrize(
    "api",
    [
        "http://api.example.com",
        "ftp://api.github.com",
        "https://",
        "api.github.com",
        "https://user:password@api.example.com",
        "https://api.example.com/?x=1",
        "https://[::1",
        "https://api.example.com:port",
        "https://api.exam\x1bple.com",
    ],
)
def test_addresses_that_are_not_used(tmp_path: Path, api: str) -> None:
    with pytest.raises(UsageError) as error:
        GitHub(Cache(tmp_path), api=api)
    assert "password@" not in str(error.value)
    assert "\x1b" not in str(error.value)


def test_the_address_comes_from_the_environment(
    server: FakeGitHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AITERFIX_GITHUB_API", server.api + "/api/v3/")
    monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
    server.documents["/api/v3" + PATH] = pull(7)
    github = GitHub(Cache(tmp_path))
    assert github.authenticated
    assert read_pull(github.fetch(PATH, pick_pull).facts).state is PullState.OPEN
    monkeypatch.delenv("AITERFIX_GITHUB_API")
    assert GitHub(Cache(tmp_path)).api == "https://api.github.com"


def test_server_errors_are_retried_with_growing_pauses(server: FakeGitHub, client: Client) -> None:
    def twice(request: Request) -> None:
        if len(server.requests) < 3:
            request.json({"message": "Server Error"}, 502)
        else:
            request.json(pull(7))

    server.override = twice
    assert client.pull().state is PullState.OPEN
    assert len(server.requests) == 3
    assert len(client.pauses) == 2
    assert 0.5 <= client.pauses[0] <= 0.75 < 1.0 <= client.pauses[1] <= 1.5


def test_retries_end(server: FakeGitHub, client: Client) -> None:
    server.override = lambda request: request.json({}, 503)
    with pytest.raises(UnreachableError, match="3 attempts") as error:
        client.pull()
    assert len(server.requests) == 3
    assert "503" in error.value.why


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 422, 451])
def test_what_more_asking_does_not_change_is_asked_once(server: FakeGitHub, client: Client, status: int) -> None:
    server.override = lambda request: request.json({"message": "\x1b[2J"}, status)
    with pytest.raises(GitHubError) as error:
        client.pull()
    assert len(server.requests) == 1
    assert "\x1b" not in str(error.value)


def test_kinds_of_refusal(server: FakeGitHub, client: Client) -> None:
    for status, kind in ((401, RefusedError), (403, RefusedError), (404, NotFoundError), (410, NotFoundError)):
        server.override = lambda request, status=status: request.json({}, status)
        with pytest.raises(kind):
            client.pull()


def test_a_used_up_rate_limit_says_when_to_come_back(server: FakeGitHub, client: Client) -> None:
    reset = int(time.time()) + 1800
    server.override = lambda request: request.json(
        {"message": "API rate limit exceeded"}, 403, X_RateLimit_Remaining="0", X_RateLimit_Reset=str(reset)
    )
    with pytest.raises(RateLimitedError) as error:
        client.pull()
    assert error.value.until == datetime.fromtimestamp(reset, timezone.utc)
    assert error.value.until.strftime("%Y-%m-%d %H:%M:%S UTC") in str(error.value)
    assert "GITHUB_TOKEN" in error.value.remedy
    assert len(server.requests) == 1


def test_a_secondary_limit_says_how_long(server: FakeGitHub, client: Client) -> None:
    for status in (403, 429):
        server.override = lambda request, status=status: request.json({}, status, Retry_After="60")
        with pytest.raises(RateLimitedError) as error:
            client.pull()
        assert 50 < error.value.until.timestamp() - time.time() < 70


@pytest.mark.parametrize("reset", ["99999999999999999999", "-5", "soon", "999999999999", "0"])
def test_a_wild_reset_time_does_not_send_away_for_years(server: FakeGitHub, client: Client, reset: str) -> None:
    server.override = lambda request: request.json({}, 429, X_RateLimit_Remaining="0", X_RateLimit_Reset=reset)
    with pytest.raises(RateLimitedError) as error:
        client.pull()
    assert 0 <= error.value.until.timestamp() - time.time() + 1 < 7 * 86400 + 2


def test_a_renamed_repository_is_followed_on_the_same_server(server: FakeGitHub, tmp_path: Path) -> None:
    server.documents["/repositories/1/pulls/7"] = pull(7)
    server.override = lambda request: (
        request.json(server.documents["/repositories/1/pulls/7"])
        if request.path.startswith("/repositories")
        else request.answer(301, Location=f"{server.api}/repositories/1/pulls/7")
    )
    assert Client(server, tmp_path, token=TOKEN).pull().state is PullState.OPEN
    assert server.requests[1].headers["authorization"] == f"Bearer {TOKEN}"


def test_another_server_gets_neither_token_nor_request(server: FakeGitHub, tmp_path: Path) -> None:
    other = FakeGitHub()
    try:
        other.put("ROCm/aiter", 7)
        port = other.api.rsplit(":", 1)[1]
        for place in (
            f"{other.api}{PATH}",
            f"http://localhost:{port}{PATH}",
            f"//127.0.0.1:{port}{PATH}",
            server.api.replace("http://", "http://user:word@") + PATH,
            "https" + server.api[4:] + PATH,
            "file:///etc/passwd",
            "http://[bad",
        ):
            server.override = lambda request, place=place: request.answer(302, Location=place)
            with pytest.raises(BadAnswerError, match="another server"):
                Client(server, tmp_path, token=TOKEN).pull()
        assert other.requests == []
    finally:
        other.close()


def test_redirects_in_circles_end(server: FakeGitHub, client: Client) -> None:
    server.override = lambda request: request.answer(302, Location=PATH)
    with pytest.raises(BadAnswerError, match="more than 3 times"):
        client.pull()
    assert len(server.requests) == 4


def test_a_silent_server(server: FakeGitHub, client: Client) -> None:
    def silent(request: Request) -> None:
        server.release.wait(10)

    server.override = silent
    start = time.monotonic()
    with pytest.raises(UnreachableError) as error:
        client.pull()
    assert error.value.why == "it did not answer in time"
    assert time.monotonic() - start < 4


def test_a_server_that_drips(server: FakeGitHub, tmp_path: Path) -> None:
    """Each byte comes in time; the whole does not."""

    def drip(request: Request) -> None:
        request.handler.send_response(200)
        request.handler.send_header("Content-Length", "100000")
        request.handler.end_headers()
        while not server.release.wait(0.05):
            request.handler.wfile.write(b" ")

    server.override = drip
    client = Client(server, tmp_path, whole=0.5)
    start = time.monotonic()
    with pytest.raises(UnreachableError, match="3 attempts") as error:
        client.pull()
    assert "no complete answer within 0.5 s" in error.value.why
    assert time.monotonic() - start < 4


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope",
    ],
    ids=["hangs up", "not HTTP", "cut short", "bad chunk", "bad compression"],
)
def test_a_broken_server(tmp_path: Path, answer: bytes) -> None:
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        client = Client(f"http://127.0.0.1:{listener.getsockname()[1]}", tmp_path)
        with pytest.raises(UnreachableError, match="3 attempts") as error:
            client.pull()
        assert error.value.why
        assert str(error.value).isprintable() or "\n" in str(error.value)
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def test_nobody_listens(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(UnreachableError, match="3 attempts"):
        Client(f"http://127.0.0.1:{port}", tmp_path).pull()


def test_an_untrusted_certificate_is_never_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: FakeGitHub
) -> None:
    """A TLS server whose certificate nobody signed: refused at once, whatever the environment says."""
    import ssl
    import subprocess

    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    extra = [*names, "-keyout", str(key), "-out", str(certificate)]
    done = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", *extra],
        capture_output=True,
        check=False,
    )
    if done.returncode:
        pytest.skip("openssl cannot make a certificate here")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.server.socket = context.wrap_socket(server.server.socket, server_side=True)
    server.put("ROCm/aiter", 7)
    api = server.api.replace("http://", "https://")
    for name, value in (("CURL_CA_BUNDLE", ""), ("REQUESTS_CA_BUNDLE", ""), ("PYTHONHTTPSVERIFY", "0")):
        monkeypatch.setenv(name, value)
        with pytest.raises(UnreachableError, match="not trusted"):
            Client(api, tmp_path / "cache", token=TOKEN).pull()
    assert server.requests == []
    # An authority that the user names is trusted: that is how companies' proxies work.
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    assert Client(api, tmp_path / "cache", token=TOKEN).pull().state is PullState.OPEN


def test_a_huge_answer_is_cut_off(server: FakeGitHub, client: Client) -> None:
    sent = 0

    def flood(request: Request) -> None:
        nonlocal sent
        request.handler.send_response(200)
        request.handler.end_headers()
        for _ in range(1024):
            request.handler.wfile.write(b" " * (1 << 16))
            sent += 1 << 16

    server.override = flood
    with pytest.raises(BadAnswerError, match="longer than 8 MiB"):
        client.pull()
    assert sent < 64 << 20
    assert len(server.requests) == 1


def test_a_redirect_with_a_huge_body_is_cut_off(server: FakeGitHub, client: Client) -> None:
    def flood(request: Request) -> None:
        request.handler.send_response(302)
        request.handler.send_header("Location", PATH)
        request.handler.end_headers()
        for _ in range(1024):
            request.handler.wfile.write(b" " * (1 << 16))

    server.override = flood
    with pytest.raises(BadAnswerError, match="longer than 8 MiB"):
        client.pull()


def test_a_compressed_bomb_is_cut_off(server: FakeGitHub, client: Client) -> None:
    import gzip

    bomb = gzip.compress(b" " * (64 << 20))
    server.override = lambda request: request.answer(200, bomb, Content_Encoding="gzip")
    with pytest.raises(BadAnswerError, match="longer than 8 MiB"):
        client.pull()


CHANGES: tuple[dict[str, object], ...] = (
    {"merged": "false"},
    {"merged": 0},
    {"merged": None},
    {"state": "merged"},
    {"state": ["open"]},
    {"state": "open", "merged": True, "merge_commit_sha": "a" * 40},
    {"head": None},
    {"head": []},
    {"head": {"sha": 5}},
    {"head": {"sha": "--upload-pack=x"}},
    {"head": {"sha": "A" * 40}},
    {"head": {"sha": "a" * 41}},
    {"state": "closed", "merged": True, "merge_commit_sha": None},
    {"state": "closed", "merged": True, "merge_commit_sha": "../../x"},
    {"state": "closed", "closed_at": "yesterday\x1b[2J"},
    {"state": "closed", "closed_at": 5},
)
HOSTILE = [
    b"",
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b"null",
    b"[]",
    b"7",
    b'"text"',
    b"{}",
    b'{"state": "open", "merged": false, "head": {"sha": ' + b"9" * 5000 + b"}}",
    *(json.dumps(pull(7, **changes)).encode() for changes in CHANGES),
]


@pytest.mark.parametrize("body", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_documents(server: FakeGitHub, client: Client, body: bytes) -> None:
    server.override = lambda request: request.answer(200, body, ETag='"x"')
    with pytest.raises(BadAnswerError) as error:
        client.pull()
    assert all(line.isprintable() for line in str(error.value).splitlines())
    assert client.remembered(PATH) is None


def test_titles_cannot_command_a_terminal(server: FakeGitHub, client: Client) -> None:
    server.put("ROCm/aiter", 7, title="\x1b]0;owned\x07 \u202eevil\u2066 \r\n" + "x" * 10_000)
    title = client.pull().title
    assert title.isprintable()
    assert title.startswith("\\x1b]0;owned\\x07 \\u202eevil")
    assert len(title) < 1000
    server.put("ROCm/aiter", 7, title={"a": 1})
    assert client.pull().title == ""


@pytest.mark.parametrize("etag", ["no quotes", '"a\x7fb"', '"' + "x" * 5000 + '"', ""])
def test_odd_etags_are_not_sent_back(server: FakeGitHub, client: Client, etag: str) -> None:
    server.override = lambda request: request.answer(200, json.dumps(pull(7)).encode(), ETag=etag)
    client.pull()
    client.pull()
    assert "if-none-match" not in server.requests[1].headers


def test_comparisons(server: FakeGitHub, client: Client) -> None:
    for status, contained in (("behind", True), ("identical", True), ("ahead", False), ("diverged", False)):
        server.override = lambda request, status=status: request.json({"status": status, "commits": []})
        assert client.fetch(f"/c/{status}", pick_comparison).facts == {"contained": contained}
    answers: tuple[object, ...] = ({}, {"status": 5}, {"status": "maybe"}, [])
    for bad in answers:
        server.override = lambda request, bad=bad: request.json(bad)
        with pytest.raises(BadAnswerError):
            client.fetch("/c/bad", pick_comparison)


def test_the_cache_survives_damage(server: FakeGitHub, client: Client, tmp_path: Path) -> None:
    server.put("ROCm/aiter", 7)
    client.pull()
    (entry,) = (tmp_path / "cache").glob("*.json")
    whole = entry.read_bytes()
    body = json.loads(whole)
    changes: tuple[dict[str, object], ...] = (
        {"url": "https://elsewhere"},
        {"etag": 5},
        {"facts": []},
        {"facts": {"state": {}}},
        {"checked_at": "now"},
        {"checked_at": True},
        {"checked_at": 1e300},
    )
    damaged = [
        b"",
        whole[:50],
        b"[" * 100_000,
        b" " * (1 << 20),
        *(json.dumps({**body, **change}).encode() for change in changes),
    ]
    for data in damaged:
        entry.write_bytes(data)
        assert client.remembered(PATH) is None
        assert client.pull().state is PullState.OPEN
        assert client.remembered(PATH) is not None


def test_facts_in_the_cache_are_checked_like_an_answer(server: FakeGitHub, client: Client, tmp_path: Path) -> None:
    server.put("ROCm/aiter", 7)
    client.pull()
    (entry,) = (tmp_path / "cache").glob("*.json")
    body = json.loads(entry.read_bytes())
    body["facts"]["head"] = "\x1b[2J"
    entry.write_text(json.dumps(body))
    answer = client.remembered(PATH)
    assert answer is not None
    with pytest.raises(BadAnswerError):
        read_pull(answer.facts)


def test_a_cache_that_cannot_be_written_is_no_failure(server: FakeGitHub, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    server.put("ROCm/aiter", 7)
    client = Client(server, tmp_path / "file" / "cache")
    assert client.pull().state is PullState.OPEN
    assert "cannot be written" in client.cache.problem


def test_the_cache_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    cache = Cache(tmp_path)
    cache.put(CacheEntry("u", "", 1.0, {"a": 1}), authenticated=False)

    def refuse(*arguments: object, **keywords: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    cache.put(CacheEntry("u", "", 2.0, {"a": 2}), authenticated=False)
    found = cache.get("u", authenticated=False)
    assert found is not None
    assert found.facts == {"a": 1}
    assert "No space left" in cache.problem
    assert [p for p in tmp_path.iterdir() if p.name.startswith(".new")] == []
    cache.put(CacheEntry("v", "", 2.0, {"a": "x" * 100_000}), authenticated=False)
    assert cache.get("v", authenticated=False) is None


def test_the_cache_is_private(tmp_path: Path) -> None:
    Cache(tmp_path / "c").put(CacheEntry("u", "", 1.0, {}), authenticated=True)
    (entry,) = (tmp_path / "c").iterdir()
    assert re.fullmatch(r"[0-9a-f]{40}\.json", entry.name)
    assert entry.stat().st_mode & 0o077 == 0
    assert (tmp_path / "c").stat().st_mode & 0o077 == 0
