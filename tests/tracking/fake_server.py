"""A local W&B server that accepts runs, artifacts and views."""

import json
import os
import signal
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ENTITY, PROJECT = "kim", "faces"


class Server:
    """views: the variables of every call that saved a view, in order.

    summaries: id of every run → its summary. before_answer: called before every answer.
    """

    def __init__(self) -> None:
        views: list[dict[str, Any]] = []
        self.views = views
        summaries: dict[str, dict[str, Any]] = {}
        self.summaries = summaries
        self.before_answer: Callable[[], None] | None = None
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                if server.before_answer is not None:
                    server.before_answer()
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                asked = json.loads(body) if self.path.endswith("graphql") else {}
                variables = asked.get("variables") or {}
                data = answer(asked.get("query", ""), variables, summaries)
                if "upsertView" in data:
                    views.append(variables)
                if self.path.endswith("/file_stream"):  # /files/<entity>/<project>/<run>/file_stream
                    sent = json.loads(body).get("files", {}).get("wandb-summary.json")
                    if sent:
                        summaries[self.path.split("/")[-2]] = json.loads(sent["content"][-1])
                text = json.dumps({"data": data}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None:
                """Write nothing to stderr."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def use(self) -> None:
        """Make this process use the server, with a key; call it before W&B is imported."""
        os.environ.update(self.environment())

    def environment(self) -> dict[str, str]:
        """Environment variables that make a process use the server."""
        address = f"http://127.0.0.1:{self._server.server_port}"
        return {"WANDB_BASE_URL": address, "WANDB_API_KEY": "a" * 40}

    def fall_silent(self) -> None:
        """Accept requests from now on, but never answer."""
        self.before_answer = threading.Event().wait

    def interrupt(self) -> None:
        """At the next request, send Ctrl-C to this process and never answer.

        Must be called in the main thread, because it makes the process accept Ctrl-C: processes that a shell
        starts in the background, and their children, ignore it.
        """
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.default_int_handler)

        def never_answer() -> None:
            os.kill(os.getpid(), signal.SIGINT)
            threading.Event().wait()

        self.before_answer = never_answer

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def answer(query: str, variables: dict[str, Any], summaries: dict[str, dict[str, Any]]) -> dict[str, Any]:
    project = {"id": "p", "name": PROJECT, "entityName": ENTITY, "entity": {"id": "e", "name": ENTITY}}
    if "RunResumeStatus" in query:
        known = summaries.get(variables["name"])
        bucket = (
            None
            if known is None
            else {
                "id": "r",
                "name": variables["name"],
                "summaryMetrics": json.dumps(known),
                "displayName": "",
                "logLineCount": 0,
                "historyLineCount": 1,
                "eventsLineCount": 0,
                "historyTail": json.dumps([json.dumps({"_step": 0, "_runtime": 1})]),
                "eventsTail": "[]",
                "config": "{}",
                "tags": [],
                "notes": "",
                "wandbConfig": json.dumps({"t": {}}),  # without it the run counts as not initialised
            }
        )
        return {"model": {**project, "bucket": bucket}}
    if "upsertBucket" in query:
        summaries.setdefault(variables["name"], {})
        run = {
            "id": "r",
            "name": variables["name"],
            "config": "{}",
            "historyLineCount": 0,
            "project": project,
        }
        return {"upsertBucket": {"bucket": run, "inserted": True}}
    if "upsertView" in query:
        view = {key: variables.get(key) for key in ("name", "displayName", "description", "spec", "type")}
        return {"upsertView": {"view": {"id": "Vmlldzox", "project": project, **view}, "inserted": True}}
    if "upsertModel" in query:
        return {"result": {"project": project, "model": project, "inserted": True}}
    if "createRunFiles" in query:
        return {"createRunFiles": {"runID": "r", "uploadHeaders": [], "files": []}}
    if "createArtifact(" in query:  # as if the server had it already, so that nothing is uploaded
        sequence = {"id": "s", "latestArtifact": {"id": "a", "versionIndex": 0}}
        return {
            "createArtifact": {"artifact": {"id": "a", "state": "COMMITTED", "artifactSequence": sequence}}
        }
    if "artifactType" in query:
        return {"project": None}
    nothing = {"edges": [], "pageInfo": {"endCursor": None, "hasNextPage": False}}
    viewer = {"id": "u", "entity": ENTITY, "username": ENTITY, "flags": "{}", "teams": {"edges": []}}
    return {"viewer": viewer, "models": nothing}
