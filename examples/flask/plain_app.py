"""The routes on Python's own HTTP server. Run `python3 plain_app.py`. flask_app.py has the same routes on Flask."""

import json
import os
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from recloser import Recloser
from scheduling import Scheduling

port = int(os.environ.get("PORT", "5000"))
public_url = os.environ.get("PUBLIC_URL", f"http://127.0.0.1:{port}")
recloser = Recloser(
    os.environ.get("RECLOSER_URL", "http://127.0.0.1:3000"),
    api_key=os.environ.get("RECLOSER_API_KEY"),
    callback_url=f"{public_url}/hooks/recloser",
)
scheduling = Scheduling(
    os.environ.get("DATABASE", "scheduling.db"), recloser, os.environ["CALLBACK_SECRETS"].split(",")
)


def callback(request, _):
    headers = {name.lower(): value for name, value in request.headers.items()}
    return scheduling.callback(headers, request.body)


def available_reps(request, _):
    args = {name: values[0] for name, values in parse_qs(urlsplit(request.path).query).items()}
    return scheduling.available_reps(args["start"], args["end"])


ROUTES = [
    ("POST", r"/api/schedule-event", lambda request, _: scheduling.schedule_event(json.loads(request.body))),
    ("DELETE", r"/api/unschedule/([^/]+)", lambda _, match: scheduling.unschedule(match[1])),
    ("GET", r"/api/get_available_reps", available_reps),
    ("GET", r"/api/schedules/([^/]+)", lambda _, match: scheduling.schedule(match[1])),
    ("POST", r"/hooks/recloser", callback),
]


class Handler(BaseHTTPRequestHandler):
    def answer(self):
        self.body = self.rfile.read(int(self.headers.get("content-length") or 0))
        status, body = 404, {"error": "not found"}
        for method, pattern, handle in ROUTES:
            match = re.fullmatch(pattern, urlsplit(self.path).path)
            if method == self.command and match:
                try:
                    status, body = handle(self, match)
                except (ValueError, KeyError):
                    status, body = 400, {"error": "invalid request"}
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_DELETE = answer

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    scheduling.submit_again()
    scheduling.keep_submitting(float(os.environ.get("TELL_AGAIN_SECONDS", "60")))
    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
