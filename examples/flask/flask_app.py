"""The routes on Flask. Run `python3 flask_app.py`. plain_app.py has the same routes without Flask."""

import os

from flask import Flask, request

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
app = Flask(__name__)


def reply(answer):
    status, body = answer
    return body, status


@app.post("/api/schedule-event")
def schedule_event():
    return reply(scheduling.schedule_event(request.get_json()))


@app.delete("/api/unschedule/<schedule_id>")
def unschedule(schedule_id):
    return reply(scheduling.unschedule(schedule_id))


@app.get("/api/get_available_reps")
def available_reps():
    return reply(scheduling.available_reps(request.args["start"], request.args["end"]))


@app.get("/api/schedules/<schedule_id>")
def schedule(schedule_id):
    return reply(scheduling.schedule(schedule_id))


# With Flask-WTF, add @csrf.exempt. The signature protects this route.
@app.post("/hooks/recloser")
def callback():
    headers = {name.lower(): value for name, value in request.headers}
    return reply(scheduling.callback(headers, request.get_data()))


if __name__ == "__main__":
    scheduling.submit_again()
    scheduling.keep_submitting(float(os.environ.get("TELL_AGAIN_SECONDS", "60")))
    app.run(port=port, threaded=True)
