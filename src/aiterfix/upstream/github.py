"""GitHub's REST API: one host, read only, nothing that it answers is trusted.

Pull requests: https://docs.github.com/rest/pulls/pulls; comparing commits: /rest/commits/commits; rate limits and
conditional requests: /rest/using-the-rest-api.
"""

from __future__ import annotations

import json
import os
import random
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urljoin, urlsplit

from aiterfix._version import __version__
from aiterfix.errors import EnvironmentProblem, UsageError
from aiterfix.storage.text import printable
from aiterfix.upstream.cache import Cache, CacheEntry, Fact
from aiterfix.upstream.extras import need

if TYPE_CHECKING:
    import requests

DEFAULT_API = "https://api.github.com"
API_VARIABLE = "AITERFIX_GITHUB_API"
TOKEN_VARIABLE = "GITHUB_TOKEN"

_MOST_BYTES = 8 << 20  # a pull request has some 30 kB, a comparison of two branches up to a few MB
_MOST_REDIRECTS = 3
_ATTEMPTS = 3
_RETRIED = frozenset({500, 502, 503, 504})
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_TOKEN = re.compile(r"[\x21-\x7e]+")
_ETAG = re.compile(r'(W/)?"[\x21\x23-\x7e]{0,200}"')

T = TypeVar("T")
Pick = Callable[[object], Mapping[str, Fact]]


class GitHubError(EnvironmentProblem):
    """GitHub could not be asked, or its answer is of no use."""

    code = "github"
    lasting = False
    """Whether asking for something else would fail alike."""


class UnreachableError(GitHubError):
    """No complete answer came."""

    code = "github-unreachable"
    lasting = True


class RateLimitedError(GitHubError):
    """GitHub wants fewer requests."""

    code = "github-rate-limit"
    lasting = True

    def __init__(self, until: datetime, authenticated: bool) -> None:
        when = until.strftime("%Y-%m-%d %H:%M:%S UTC")
        advice = "" if authenticated else f", or set {TOKEN_VARIABLE}: requests with a token have a limit of their own"
        super().__init__(
            "GitHub's rate limit is used up",
            why=f"It starts afresh at {when}.",
            remedy=f"Come back after {when}{advice}.",
        )
        self.until = until


class RefusedError(GitHubError):
    """GitHub does not let this token, or anybody without one, ask."""

    code = "github-refused"
    lasting = True


class NotFoundError(GitHubError):
    """No such pull request, or none that may be seen."""

    code = "github-not-found"


class BadAnswerError(GitHubError):
    """The answer is not what the API promises."""

    code = "github-bad-answer"


@dataclass(frozen=True)
class Limits:
    """Seconds to wait."""

    connect: float = 5.0
    read: float = 10.0
    whole: float = 30.0
    """For one attempt altogether: a server that sends a byte now and then never exceeds `read`."""
    pause: float = 0.5
    """Before the second attempt; doubled for each further one."""


@dataclass(frozen=True)
class Answer:
    """Facts of one address and when GitHub vouched for them."""

    facts: Mapping[str, Fact]
    checked_at: float


@dataclass(frozen=True)
class _Response:
    status: int
    headers: Mapping[str, str]
    body: bytes


class GitHub:
    """Asks one API server.

    Args:
        cache: for conditional requests.
        api: base address; ``$AITERFIX_GITHUB_API`` or GitHub's own by default. Plain http only on loopback.
        token: ``$GITHUB_TOKEN`` by default; sent to this server only, printed nowhere.
        limits: how long to wait.
        sleep: how to wait between attempts.

    Raises:
        UsageError: address or token cannot be used.
    """

    def __init__(
        self,
        cache: Cache,
        *,
        api: str | None = None,
        token: str | None = None,
        limits: Limits | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.cache = cache
        self.api = _checked_api(os.environ.get(API_VARIABLE) or DEFAULT_API if api is None else api)
        self._token = _checked_token(os.environ.get(TOKEN_VARIABLE, "") if token is None else token)
        self._limits = limits if limits is not None else Limits()
        self._sleep = sleep

    @cached_property
    def _requests(self) -> Any:
        return need("requests")  # who only wants what is remembered asks nobody, and does without

    @property
    def authenticated(self) -> bool:
        """Whether a token is sent."""
        return bool(self._token)

    def fetch(self, path: str, pick: Pick) -> Answer:
        """Ask for a document, or for whether what the cache has still holds.

        Args:
            path: below the base address, beginning with a slash.
            pick: takes the facts from the document; raises `BadAnswerError` where it is not what it must be.

        Raises:
            GitHubError: see the subclasses.
            ExtraMissingError: requests is not installed.
        """
        url = self.api + path
        known = self.cache.get(url, authenticated=self.authenticated)
        response = self._follow(url, known.etag if known is not None else "")
        if response.status == 304 and known is not None:
            facts, etag = known.facts, known.etag
        elif response.status == 200:
            facts = pick(_document(response.body, path))
            offered = response.headers.get("etag", "")
            etag = offered if _ETAG.fullmatch(offered) else ""
        else:
            raise BadAnswerError(f"{path}: GitHub answered with status {response.status}", why="That is not expected.")
        entry = CacheEntry(url, etag, time.time(), facts)
        self.cache.put(entry, authenticated=self.authenticated)
        return Answer(facts, entry.checked_at)

    def remembered(self, path: str) -> Answer | None:
        """What the cache has, without asking; the newer of what was learnt with and without a token."""
        both = [self.cache.get(self.api + path, authenticated=a) for a in (False, True)]
        found = max((e for e in both if e is not None), key=lambda e: e.checked_at, default=None)
        return Answer(found.facts, found.checked_at) if found is not None else None

    def _follow(self, url: str, etag: str) -> _Response:
        """Ask, and follow redirects that stay on this server (renamed repositories)."""
        origin = _origin(self.api)
        for _ in range(_MOST_REDIRECTS + 1):
            response = self._insist(url, etag)
            if response.status not in (301, 302, 307, 308):
                return response
            try:
                url = urljoin(url, response.headers.get("location", ""))
                elsewhere = _origin(url) != origin or "@" in urlsplit(url).netloc
            except ValueError:
                elsewhere = True
            if elsewhere:
                raise BadAnswerError(
                    "GitHub answered with a redirect to another server, which is not followed",
                    why="A token would be sent to it, and its answers are not GitHub's.",
                    remedy=f"Check {API_VARIABLE} and proxies.",
                )
        raise BadAnswerError(f"GitHub redirects more than {_MOST_REDIRECTS} times")

    def _insist(self, url: str, etag: str) -> _Response:
        """Ask until an answer comes that more asking would not change."""
        trouble = ""
        for attempt in range(_ATTEMPTS):
            if attempt:
                self._sleep(self._limits.pause * 2 ** (attempt - 1) * random.uniform(1.0, 1.5))
            outcome = self._attempt(url, etag)
            if isinstance(outcome, str):
                trouble = outcome
            elif outcome.status in _RETRIED:
                trouble = f"it answered with status {outcome.status}"
            else:
                self._raise_for(outcome, url)
                return outcome
        raise UnreachableError(
            f"{urlsplit(self.api).netloc} gave no answer in {_ATTEMPTS} attempts",
            why=trouble,
            remedy="Check the network and proxy settings, or use --offline.",
        )

    def _attempt(self, url: str, etag: str) -> _Response | str:
        """One request, or why there is no answer."""
        errors = self._requests.exceptions
        try:
            done, response = _within(self._limits.whole, lambda: self._request(url, etag))
        except errors.SSLError as error:
            raise UnreachableError(
                f"the TLS certificate of {urlsplit(self.api).netloc} is not trusted",
                why=_first_line(error),
                remedy="If a proxy of yours re-signs traffic, name its authority in REQUESTS_CA_BUNDLE.",
            ) from error
        except errors.Timeout:
            return "it did not answer in time"
        except (errors.RequestException, OSError) as error:
            return _first_line(error)
        if not done or response is None:
            return f"no complete answer within {self._limits.whole:g} s"
        return response

    def _request(self, url: str, etag: str) -> _Response:
        headers = {
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": "2022-11-28",
            "User-Agent": f"aiterfix/{__version__}",
        }
        if etag:
            headers["If-None-Match"] = etag
        with self._requests.Session() as session:
            # With an `auth` of our own, requests looks for none in ~/.netrc.
            session.auth = self._authorise
            # Redirects are ours to judge. Left alone, requests looks at them even when told not to follow: it parses
            # the address and reads the whole body, whatever its length.
            session.get_redirect_target = lambda _: None
            # Proxies and certificate bundles come from the environment; loopback needs neither.
            session.trust_env = url.startswith("https:")
            with session.get(
                url,
                headers=headers,
                timeout=(self._limits.connect, self._limits.read),
                allow_redirects=False,
                stream=True,
            ) as response:
                parts: list[bytes] = []
                size = 0
                for part in response.iter_content(1 << 16):
                    size += len(part)
                    if size > _MOST_BYTES:
                        raise BadAnswerError(f"GitHub's answer is longer than {_MOST_BYTES >> 20} MiB")
                    parts.append(part)
                named = {k.lower(): v for k, v in response.headers.items()}
                return _Response(response.status_code, named, b"".join(parts))

    def _authorise(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request

    def _raise_for(self, response: _Response, url: str) -> None:
        path = urlsplit(url).path
        if response.status == 401:
            raise RefusedError(
                f"GitHub refuses the token in {TOKEN_VARIABLE}", remedy=f"Renew it, or unset {TOKEN_VARIABLE}."
            )
        if response.status in (403, 429):
            until = _come_back(response)
            if until is not None:
                raise RateLimitedError(until, self.authenticated)
            raise RefusedError(f"{path}: GitHub forbids this request", why=f"Status {response.status}.")
        if response.status in (404, 410):
            raise NotFoundError(
                f"{path}: GitHub does not know it, or does not show it",
                remedy=f"Check repository and number in the fault file; a private one needs {TOKEN_VARIABLE}.",
            )


def _checked_api(api: str) -> str:
    remedy = f"Set {API_VARIABLE} to something like https://github.example.com/api/v3."
    try:
        parts = urlsplit(api)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise UsageError("the address of the GitHub API is not an address", remedy=remedy) from None
    if not host or parts.scheme not in ("https", "http") or parts.query or parts.fragment or not api.isprintable():
        raise UsageError("the address of the GitHub API is not an http(s) address", remedy=remedy)
    if "@" in parts.netloc:
        raise UsageError(f"the address of the GitHub API holds a password; use {TOKEN_VARIABLE}", remedy=remedy)
    if parts.scheme == "http" and host not in _LOOPBACK:
        raise UsageError(f"the GitHub API at {host} must be asked over https", remedy=remedy)
    return api.rstrip("/")


def _checked_token(token: str) -> str:
    stripped = token.strip()
    if stripped and not _TOKEN.fullmatch(stripped):
        raise UsageError(f"{TOKEN_VARIABLE} holds characters that no token has", remedy="Set it again, or unset it.")
    return stripped


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return parts.scheme, parts.hostname or "", port


def _within(seconds: float, task: Callable[[], T]) -> tuple[bool, T | None]:
    """Run a task in a thread and wait at most so long; whether it ended, and its result."""
    results: list[T] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            results.append(task())
        except BaseException as error:  # noqa: BLE001 - handed to the caller
            failures.append(error)

    thread = threading.Thread(target=run, daemon=True, name="aiterfix-github")
    thread.start()
    thread.join(seconds)
    if failures:
        raise failures[0]
    return (True, results[0]) if results else (False, None)


def _document(body: bytes, path: str) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadAnswerError(f"{path}: GitHub's answer is not JSON that can be read", why=_first_line(error)) from error


def _come_back(response: _Response) -> datetime | None:
    """When a rate limit ends; None where the answer is about something else."""
    headers = response.headers
    now = time.time()
    after = _number(headers.get("retry-after"))
    if after is not None:
        return datetime.fromtimestamp(now + min(after, 7 * 86400), timezone.utc)
    if headers.get("x-ratelimit-remaining") == "0" or response.status == 429:
        reset = _number(headers.get("x-ratelimit-reset"))
        # GitHub's windows are an hour; a wild value would send people away for years.
        sane = reset if reset is not None and now - 86400 < reset < now + 7 * 86400 else now + 3600
        return datetime.fromtimestamp(max(sane, now), timezone.utc)
    return None


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"[0-9]{1,12}", text.strip()) else None


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    text = lines[0] if lines else type(error).__name__
    return printable(text)[:300]
