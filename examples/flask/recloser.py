"""Submits calls to Recloser and verifies its callbacks. Python 3.11, standard library only."""

import base64
import hashlib
import hmac
import json
import time
import urllib.error
import urllib.request


class RecloserRefused(Exception):
    """Recloser refused the request. `problem` is its problem document; `problem["code"]` is stable."""

    def __init__(self, status, problem):
        super().__init__(f"{status} {problem.get('code')}: {problem.get('detail')}")
        self.status = status
        self.problem = problem


class RecloserAway(Exception):
    """It is unknown whether Recloser has the call. Submitting it again with the same key is safe."""


class Recloser:
    def __init__(self, base_url, api_key=None, callback_url=None, timeout=5.0):
        self.base_url = base_url.rstrip("/")
        self.api_key = api_key
        self.callback_url = callback_url
        self.timeout = timeout

    def submit(self, operation, input, key, metadata=None, wait=0, **options):
        """Submits a call, such as "crossmark/schedule-event". Returns (200 or 202, the call).

        key: the idempotency key. However often it is sent, the call is made once.
        wait: seconds to wait for the call to finish, 30 at most.
        """
        if metadata is not None:
            options["metadata"] = metadata
        if self.callback_url is not None and wait == 0:
            options["callback"] = {"url": self.callback_url}
        headers = {"Idempotency-Key": key}
        if wait:
            headers["Prefer"] = f"wait={wait}"
        body = {"input": input, "options": options}
        return self._send("POST", f"/v1/calls/{operation}", body, headers, self.timeout + wait)

    def get(self, call_id):
        return self._send("GET", f"/v1/calls/{call_id}")[1]

    def cancel(self, call_id):
        """Cancels a waiting call. Raises RecloserRefused with status 409 if the call is running or has finished."""
        return self._send("DELETE", f"/v1/calls/{call_id}")[1]

    def _send(self, method, path, body=None, headers=None, timeout=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base_url + path, data=data, method=method)
        for name, value in (headers or {}).items():
            request.add_header(name, value)
        if data is not None:
            request.add_header("Content-Type", "application/json")
        if self.api_key is not None:
            request.add_header("Authorization", f"Bearer {self.api_key}")
        try:
            with urllib.request.urlopen(request, timeout=timeout or self.timeout) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            problem = _problem(error)
            if error.code in (429, 502, 503, 504) and problem.get("code") != "breaker_open":
                raise RecloserAway(problem.get("detail") or str(error)) from error
            raise RecloserRefused(error.code, problem) from error
        except (OSError, ValueError) as error:
            raise RecloserAway(str(error)) from error


def _problem(error):
    try:
        problem = json.load(error)
        return problem if isinstance(problem, dict) else {}
    except ValueError:
        return {}


def verify(secrets, headers, body, tolerance_seconds=300):
    """Returns the event of a callback, or None if it is not signed with one of our secrets (Standard Webhooks).

    headers: a mapping with lower-case names. body: the raw bytes as received.
    """
    event_id = headers.get("webhook-id", "")
    sent_at = headers.get("webhook-timestamp", "")
    if not sent_at.isascii() or not sent_at.isdigit():
        return None
    if abs(time.time() - int(sent_at)) > tolerance_seconds:
        return None
    given = [part[3:] for part in headers.get("webhook-signature", "").split() if part.startswith("v1,")]
    signed = f"{event_id}.{sent_at}.".encode() + body
    for secret in secrets:
        key = base64.b64decode(secret.removeprefix("whsec_"))
        wanted = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())
        if any(hmac.compare_digest(wanted, signature.encode()) for signature in given):
            return json.loads(body)
    return None
