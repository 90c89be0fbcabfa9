"""Replay of requests against a service: start it, wait until it is healthy, ask, and end it.

Runs inside the sandbox, whose loopback nothing outside can be reached from. What the service answers is untrusted:
every answer is bounded in time and size, and redirects are not followed. Python 3.8 and later, standard library alone.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import hashlib
import http.client
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from typing import Any

HOST = "127.0.0.1"
KEPT = 16 * 1024
"""Bytes of a body that are handed back; of more, a digest."""
READ = 1024 * 1024
"""Bytes of a body that are compared."""
MOST = 64 * READ
"""Bytes of a body that are read, to see its end."""
_MARGIN = 0.5
_TRIES = 20
"""Ports of a range that are tried."""
_ALIVE = 5.0
"""Seconds in which a service that has left a request without an answer must answer another one to be asked on."""
_LATE, _CUT_OFF, _ENDLESS = "it did not end in time", "it broke off", "it did not end"
_NOT_ASKED: dict[str, Any] = {"status": 0, "headers": [], "body": None, "digest": "", "error": "not asked"}
"""Answer to what follows in a conversation upon a request that got none in time."""
_POLL = 0.05
_NO_SIBLING_MAY_READ = 4
"""`PR_SET_DUMPABLE`: with 0, the service can open nothing of this process below /proc."""
_FEW, _SLOW = 30, 5
"""Rounds for which a slow service has more time, and how much more."""
_PASSES = (429, 503)
"""Statuses of a service that has had enough of one client."""
_HEADERS = ("content-type", "location", "www-authenticate", "set-cookie", "allow")
_WORD = re.compile(r"[A-Za-z0-9_.~+/=-]{8,}")
_BEFORE = 24
"""Characters before a word of an answer by which the same place is found in another answer."""


def _free_port(first: int, last: int) -> int:
    """A free port of a range; where it has none, the system's choice."""
    for port in (*random.sample(range(first, last + 1), min(_TRIES, last + 1 - first)), 0):
        with contextlib.suppress(OSError), socket.create_server((HOST, port)) as server:
            return int(server.getsockname()[1])
    raise OSError("no port is free")


class ServedProcess:
    """The process of a start command, with all it starts."""

    def __init__(self, order: dict[str, Any]) -> None:
        """Start it on a free port of the order's range, or on any free one."""
        self._limit = float(order["limit"])
        self.port = _free_port(*order["ports"])
        environment = {**order["environment"], "PORT": str(self.port)}
        for name in order["handed"]:
            if name in os.environ:
                environment[name] = os.environ[name]
        command = order["command"].replace("{port}", str(self.port))
        words = ["pytest", "-c", f"{command}\nexit $?"] if order["watched"] else ["/bin/sh", "-c", command]
        self.process = subprocess.Popen(
            words,
            executable="/bin/sh",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
        self._log: deque[bytes] = deque(maxlen=64)
        threading.Thread(target=self._drain, daemon=True).start()

    def _drain(self) -> None:
        stream: Any = self.process.stdout
        while data := os.read(stream.fileno(), 1024):
            self._log.append(data)

    @property
    def log(self) -> str:
        """The end of its output."""
        return b"".join(self._log).decode(errors="replace")[-4000:]

    def wait_until_healthy(self, path: str, seconds: float) -> str:
        """Ask until a 2xx answer comes.

        Returns:
            The reason why none came, or an empty string if the service is up.
        """
        ends, seen = time.monotonic() + seconds, "no answer"
        while time.monotonic() < ends:
            if self.process.poll() is not None:
                return f"the process ended with exit code {self.process.returncode}"
            answer = self.ask("GET", path, [], b"")
            if 200 <= answer["status"] < 300:
                return ""
            seen = f"it answers {answer['status']}" if answer["status"] else answer["error"]
            time.sleep(_POLL)
        return f"GET {path} gave no 2xx answer within {seconds:g} s: {seen}"

    def answers(self, path: str) -> bool:
        """Tell if it still answers at all, be it that something is wrong."""
        return bool(self.ask("GET", path, [], b"", min(self._limit, _ALIVE))["status"])

    def ask(
        self, method: str, path: str, headers: list[list[str]], body: bytes, limit: float | None = None
    ) -> dict[str, Any]:
        """Send a request over a connection of its own, and read a bounded answer."""
        limit = limit or self._limit
        connection = http.client.HTTPConnection(HOST, self.port, timeout=limit)
        ends = threading.Timer(limit, _cut, (connection,))
        ends.daemon = True
        late = time.monotonic() + limit - _MARGIN
        ends.start()
        try:
            connection.putrequest(method, path, skip_accept_encoding=True)
            for name, value in headers:
                connection.putheader(name, value.encode("utf-8"))
            if body or method in ("POST", "PUT", "PATCH"):
                connection.putheader("content-length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            return {"status": answer.status, "headers": _kept(answer), **_body(answer, late)}
        except (OSError, http.client.HTTPException, ValueError) as error:
            why = type(error).__name__ if time.monotonic() < late else _LATE
            return {"status": 0, "headers": [], "body": None, "digest": "", "error": why}
        finally:
            ends.cancel()
            connection.close()

    def end(self) -> None:
        """Kill it and all of its session's first process group; the sandbox ends what else there is."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def _cut(connection: http.client.HTTPConnection) -> None:
    """Break a connection off, however slowly something comes."""
    if connection.sock:
        with contextlib.suppress(OSError):
            connection.sock.shutdown(socket.SHUT_RDWR)


def _kept(answer: http.client.HTTPResponse) -> list[list[str]]:
    pairs = [[name.lower(), value[:2000]] for name, value in answer.getheaders()]
    return [pair for pair in pairs if pair[0] in _HEADERS]


def _body(answer: http.client.HTTPResponse, late: float) -> dict[str, Any]:
    """Body of an answer, or as much of it as is kept; nothing of one that did not end in time."""
    read, size, error = bytearray(), 0, ""
    if answer.status != http.client.SWITCHING_PROTOCOLS:
        while size < MOST and time.monotonic() < late:
            data = answer.read1(READ)
            if not data:
                error = _CUT_OFF if answer.length else ""
                break
            size += len(data)
            read += data[: READ - len(read)]
        else:
            error = _ENDLESS
    if time.monotonic() >= late:
        return {"body": None, "digest": "", "error": _LATE}
    digest = hashlib.sha256(read).hexdigest() if len(read) > KEPT else ""
    return {"body": base64.b64encode(read[:KEPT]).decode(), "digest": digest, "error": error}


class Talk:
    """A conversation in progress: cookies and values of its answers go into its later requests."""

    def __init__(self, service: ServedProcess) -> None:
        """Start without cookies."""
        self._service = service
        self._cookies: dict[str, str] = {}
        self._set_in_test: set[str] = set()
        self._values: dict[str, str] = {}
        self._asked: list[str] = []

    def send(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send a request as this conversation has it by now."""
        body = base64.b64decode(request["body"])
        text = body.decode("utf-8", "surrogateescape")
        self._asked.append(f"{request['path']} {text}")
        headers = [[name, self._filled(value)] for name, value in request["headers"] if name != "cookie"]
        if cookie := self._cookie([value for name, value in request["headers"] if name == "cookie"]):
            headers.append(["cookie", cookie])
        filled = self._filled(text).encode("utf-8", "surrogateescape")
        answer = self._service.ask(request["method"], self._filled(request["path"]), headers, filled)
        if request["recorded"]:
            self._learn(request["recorded"], answer)
        for name, value in answer["headers"]:
            if name == "set-cookie":
                own, _, rest = value.partition("=")
                self._cookies[own.strip()] = rest.partition(";")[0]
        return answer

    def _cookie(self, recorded: list[str]) -> str:
        """Cookies that answers set here; of the test's own, those that no answer set there."""
        named = [part.partition("=") for value in recorded for part in value.split(";") if "=" in part]
        own = {name.strip(): value.strip() for name, _, value in named if name.strip() not in self._set_in_test}
        return "; ".join(f"{name}={value}" for name, value in {**own, **self._cookies}.items())

    def _filled(self, text: str) -> str:
        """Text with the values of the test's answers replaced by those of the answers here."""
        for old, new in self._values.items():
            pieces = re.split(rf"(?<![A-Za-z0-9_]){re.escape(old)}(?![A-Za-z0-9_])", text)
            text = new.join(pieces)
        return text

    def _learn(self, recorded: dict[str, Any], answer: dict[str, Any]) -> None:
        """Remember the values that an answer has in the place of those that the test got."""
        for name, value in recorded["headers"]:
            if name == "set-cookie":
                self._set_in_test.add(value.partition("=")[0].strip())
        theirs, ours = _text(recorded), _text(answer)
        pairs = [*_fields(theirs, ours), *_words(theirs, ours)]
        for name, value in recorded["headers"]:
            if name == "location":
                pairs += _segments(value, next((own for key, own in answer["headers"] if key == name), ""))
        asked_text = "\n".join(self._asked)
        for old, new in pairs:
            if old != new and old not in asked_text and old not in self._values:
                self._values[old] = new


def _text(answer: dict[str, Any]) -> str:
    return base64.b64decode(answer["body"] or "").decode("utf-8", "replace")


def _fields(theirs: str, ours: str) -> list[tuple[str, str]]:
    """Values at the same place of two JSON documents, where they can name something."""
    try:
        return list(_leaves(json.loads(theirs), json.loads(ours), ""))
    except ValueError:
        return []


def _leaves(value: Any, other: Any, name: str) -> Any:
    if type(value) is type(other) is dict:
        for key in value.keys() & other.keys():
            yield from _leaves(value[key], other[key], str(key))
    elif type(value) is type(other) is list:
        for number in range(min(len(value), len(other))):
            yield from _leaves(value[number], other[number], name)
    elif type(value) is type(other) and type(value) in (str, int) and _can_name(str(value), name):
        yield str(value), str(other)


def _can_name(value: str, name: str) -> bool:
    """True for a value that a later request may hold: a long one, or one under the name of an identifier."""
    return len(value) >= 6 or re.search(r"(?i)id$|^(?:key|code|slug|token|name)$", name) is not None


def _words(theirs: str, ours: str) -> list[tuple[str, str]]:
    """Long words of a text, with those behind the same characters in another text."""
    pairs: list[tuple[str, str]] = []
    for match in list(_WORD.finditer(theirs))[:500]:
        before = theirs[max(0, match.start() - _BEFORE) : match.start()]
        if match[0] in ours or not before.strip():
            continue
        place = ours.find(before)
        other = _WORD.match(ours, place + len(before)) if place >= 0 else None
        if other:
            pairs.append((match[0], other[0]))
    return pairs


def _segments(theirs: str, ours: str) -> list[tuple[str, str]]:
    left, right = theirs.split("/"), ours.split("/")
    return [*map(_pair, left, right)] if len(left) == len(right) else []


def _pair(text: str, other: str) -> tuple[str, str]:
    return text, other


def repeat(service: ServedProcess, order: dict[str, Any], answers: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Send what only reads again and again; tell of answers that are the same at first, and later never again."""
    going = [
        (at, talk)
        for at, talk in enumerate(order["conversations"])
        if len(talk) == 1
        and talk[0]["method"] == "GET"
        and 200 <= answers[at][0]["status"] < 300
        and not answers[at][0]["error"]
    ]
    decayed: list[dict[str, Any]] = []
    began = time.monotonic()
    for number in range(2, order["rounds"]):
        for conversation in list(going):
            if time.monotonic() - began > order["budget"] * (_SLOW if number < _FEW else 1):
                return decayed
            at, talk = conversation
            answer = Talk(service).send(talk[0])
            if answer == answers[at][0]:
                continue
            going.remove(conversation)
            again = [Talk(service).send(talk[0]) for _ in range(3)]
            same = all(answers[at][0] != other for other in again) and all(answer == other for other in again)
            if number > 3 and same and answer["status"] not in _PASSES:
                decayed.append({"conversation": at, "round": number, "answer": answer})
    return decayed


def converse(talk: Talk, requests: list[dict[str, Any]], ends: float) -> list[dict[str, Any]]:
    """Hold a conversation up to the first request that gets no answer in time, or up to the end of all time."""
    given: list[dict[str, Any]] = []
    for request in requests:
        if time.monotonic() >= ends:
            break
        given.append(talk.send(request))
        if given[-1]["error"] == _LATE:
            return given + [_NOT_ASKED] * (len(requests) - len(given))
    return given


def run(order: dict[str, Any]) -> dict[str, Any]:
    """Start the service, ask, and end it."""
    service = ServedProcess(order)
    try:
        began = time.monotonic()
        health = order["health"]
        why = service.wait_until_healthy(health, order["start_seconds"])
        if why:
            return {"why": why, "log": service.log, "answers": [], "decayed": [], "silent": True}
        up = time.monotonic() - began
        time.sleep(order["age"])
        answers: list[list[dict[str, Any]]] = []
        ends, left = time.monotonic() + order["seconds"], order["late"]
        for requests in order["conversations"]:
            given = converse(Talk(service), requests, ends)
            if len(given) < len(requests):
                break
            answers.append(given)
            is_late = any(answer["error"] == _LATE for answer in given)
            left -= is_late
            if is_late and (not left or not service.answers(health)):
                break
        silent = not service.answers(health)
        complete = len(answers) == len(order["conversations"])
        decayed = repeat(service, order, answers) if complete and order["rounds"] else []
        return {"why": "", "log": service.log, "answers": answers, "decayed": decayed, "silent": silent, "up": up}
    finally:
        service.end()


def main(path: str) -> None:
    """Carry out an order.

    Args:
        path: Of a file with the order: `mark`, the word that the result's line begins with; `command`, `health`,
            `start_seconds`; `environment`, the service's own, and `handed`, names of variables it gets as they are
            here; `watched`; `age`, `seconds`, `limit` of a request and `budget` in seconds; `late`,
            conversations that may end without an answer in time before the others are left; `rounds`;
            `conversations`. It is removed.
    """
    with open(path, encoding="utf-8") as file:
        order = json.load(file)
    os.unlink(path)
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_NO_SIBLING_MAY_READ, 0, 0, 0, 0)
    result = run(order)
    sys.stdout.write(f"\n{order['mark']} {json.dumps(result)}\n")


if __name__ == "__main__":
    main(sys.argv[1])
