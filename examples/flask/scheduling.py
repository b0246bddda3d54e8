"""The routes, without a web framework: each takes plain values and returns (HTTP status, body).

A request is committed to our own table before it is submitted to Recloser. Each request has an `intent`, which is its
idempotency key, so submitting it again does nothing twice. A row changes its state only when Recloser reports how the
call of its latest intent ended.
"""

import sqlite3
import threading
import uuid
from datetime import datetime, timedelta

from recloser import RecloserAway, RecloserRefused, verify

TABLES = """
CREATE TABLE IF NOT EXISTS events (id INTEGER PRIMARY KEY, mplan_id TEXT, location_id TEXT, minutes INTEGER);
CREATE TABLE IF NOT EXISTS employees (id TEXT PRIMARY KEY, rep_id TEXT);
CREATE TABLE IF NOT EXISTS schedules (
  id TEXT PRIMARY KEY, event_id INTEGER, employee_id TEXT, start TEXT,
  state TEXT,         -- booking, booked, removing, removed, failed, ask_a_person
  intent TEXT,        -- id of the latest request
  call_id TEXT,       -- Recloser's id, once it is submitted
  external_id TEXT,   -- Crossmark's id of the visit, once it is booked
  problem TEXT
);
"""


class Scheduling:
    def __init__(self, database, recloser, secrets):
        self.recloser = recloser
        self.secrets = secrets
        self.db = sqlite3.connect(database, check_same_thread=False)
        self.db.row_factory = sqlite3.Row
        self.db.executescript(TABLES)
        self.lock = threading.RLock()

    # ---- POST /api/schedule-event ----------------------------------------------------------------------------

    def schedule_event(self, form):
        event = self._one("SELECT * FROM events WHERE id = ?", form.get("event_id"))
        employee = self._one("SELECT * FROM employees WHERE id = ?", form.get("employee_id"))
        if event is None or employee is None or not isinstance(form.get("start"), str):
            return 400, {"error": "event_id, employee_id and start are required"}
        schedule_id = str(uuid.uuid4())
        self._change(
            "INSERT INTO schedules (id, event_id, employee_id, start, state, intent) VALUES (?, ?, ?, ?, 'booking', ?)",
            schedule_id, event["id"], employee["id"], form["start"], str(uuid.uuid4()),
        )
        return self._submit(schedule_id)

    # ---- DELETE /api/unschedule/<id> -------------------------------------------------------------------------

    def unschedule(self, schedule_id):
        row = self._one("SELECT * FROM schedules WHERE id = ?", schedule_id)
        if row is None:
            return 404, {"error": "schedule not found"}
        if row["state"] == "booking":
            # Not booked yet: cancel the call instead of booking a visit and removing it.
            try:
                self.recloser.cancel(row["call_id"])
            except (RecloserAway, RecloserRefused):
                return 409, {"error": "the visit is being booked; try again in a moment"}
            self._change("UPDATE schedules SET state = 'removed' WHERE id = ?", schedule_id)
            return 200, self._shown(schedule_id)
        if row["state"] != "booked":
            return 409, {"error": f"it is {row['state']}"}
        self._change(
            "UPDATE schedules SET state = 'removing', intent = ?, call_id = NULL WHERE id = ? AND state = 'booked'",
            str(uuid.uuid4()), schedule_id,
        )
        return self._submit(schedule_id)

    # ---- GET /api/get_available_reps -------------------------------------------------------------------------

    def available_reps(self, start, end):
        """A read: waits for the answer, and shows an old list rather than none."""
        try:
            status, call = self.recloser.submit(
                "crossmark/list-available-reps",
                {"start": start, "end": end},
                key=f"reps-{uuid.uuid4()}",
                wait=10,
                ifOpen="stale",
            )
        except RecloserRefused as refused:
            return 400, {"error": str(refused)}
        except RecloserAway:
            return 503, {"error": "the list is unavailable; try again in a moment"}
        if status == 200 and call["status"] == "succeeded":
            return 200, {"reps": call["result"]["reps"], "stale": call.get("stale", False)}
        if status == 200:
            return 502, {"error": call["error"]["message"]}
        return 202, {"call_id": call["id"], "waiting_for": _why(call)}

    # ---- POST /hooks/recloser --------------------------------------------------------------------------------

    def callback(self, headers, body):
        """Handles the end of a call. Idempotent, because a callback may arrive twice."""
        event = verify(self.secrets, headers, body)
        if event is None:
            return 401, {"error": "not signed by Recloser"}
        call = event["data"]
        metadata = call["options"].get("metadata") or {}
        intent, step = metadata.get("intent"), metadata.get("step")
        if call["status"] == "succeeded" and step == "book":
            self._settle(intent, "booked", external_id=call["result"]["scheduleEventId"])
        elif call["status"] == "succeeded":
            self._settle(intent, "removed")
        elif call["status"] == "in_doubt":
            # It may have been done. A person settles it. Do not submit it again.
            self._settle(intent, "ask_a_person", problem=call["error"]["message"])
        elif call["status"] == "cancelled":
            self._settle(intent, "removed" if step == "book" else "booked")
        else:
            self._settle(intent, "failed" if step == "book" else "booked", problem=call["error"]["message"])
        return 200, {}

    # ---- GET /api/schedules/<id> -----------------------------------------------------------------------------

    def schedule(self, schedule_id):
        if self._one("SELECT 1 FROM schedules WHERE id = ?", schedule_id) is None:
            return 404, {"error": "schedule not found"}
        return 200, self._shown(schedule_id)

    # ---- inside ----------------------------------------------------------------------------------------------

    def keep_submitting(self, seconds=60.0):
        """Submits the requests that may not have reached Recloser, every `seconds` seconds."""

        def turn():
            try:
                self.submit_again()
            finally:
                self.keep_submitting(seconds)

        timer = threading.Timer(seconds, turn)
        timer.daemon = True
        timer.start()

    def submit_again(self):
        rows = self._all("SELECT id FROM schedules WHERE state IN ('booking', 'removing') AND call_id IS NULL")
        for row in rows:
            self._submit(row["id"])

    def _submit(self, schedule_id):
        row = self._one(
            "SELECT s.*, e.mplan_id, e.location_id, e.minutes, p.rep_id FROM schedules s"
            " JOIN events e ON e.id = s.event_id JOIN employees p ON p.id = s.employee_id WHERE s.id = ?",
            schedule_id,
        )
        step = "book" if row["state"] == "booking" else "remove"
        input = {"mPlanId": row["mplan_id"], "locationId": row["location_id"]}
        try:
            if step == "book":
                end = datetime.fromisoformat(row["start"]) + timedelta(minutes=row["minutes"])
                input |= {"repId": row["rep_id"], "start": row["start"], "end": end.isoformat()}
            else:
                input |= {"scheduleEventId": row["external_id"]}
            _, call = self.recloser.submit(
                "crossmark/schedule-event" if step == "book" else "crossmark/unschedule-event",
                input,
                key=row["intent"],
                metadata={"intent": row["intent"], "step": step},
            )
        except RecloserAway:
            # The row is stored: `submit_again` submits it again with the same key.
            return 202, self._shown(schedule_id)
        except (RecloserRefused, ValueError, TypeError) as refused:
            back = "failed" if step == "book" else "booked"
            self._settle(row["intent"], back, problem=str(refused))
            return 422, {"error": str(refused), **self._shown(schedule_id)}
        self._change("UPDATE schedules SET call_id = ? WHERE intent = ?", call["id"], row["intent"])
        return 202, {**self._shown(schedule_id), "waiting_for": _why(call)}

    def _settle(self, intent, state, external_id=None, problem=None):
        """Only changes the row of the latest intent: a late callback of an older one has no effect."""
        self._change(
            "UPDATE schedules SET state = ?, external_id = COALESCE(?, external_id), problem = ? WHERE intent = ?",
            state, external_id, problem, intent,
        )

    def _shown(self, schedule_id):
        row = self._one("SELECT * FROM schedules WHERE id = ?", schedule_id)
        return {name: row[name] for name in ("id", "state", "external_id", "call_id", "problem")}

    def _one(self, query, *values):
        with self.lock:
            return self.db.execute(query, values).fetchone()

    def _all(self, query, *values):
        with self.lock:
            return self.db.execute(query, values).fetchall()

    def _change(self, query, *values):
        with self.lock, self.db:
            self.db.execute(query, values)


def _why(call):
    """Tells the user why the call has not been made yet."""
    return [hold["reason"] for hold in call.get("holds", [])]
