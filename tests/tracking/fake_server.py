"""A W&B server of this machine that says yes to everything, as far as starting a run and saving views go."""

import json
import os
import signal
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ENTITY, PROJECT = "kim", "faces"


class Server:
    """views: what was saved, the variables of each call, in order.

    when_asked: done before each answer, so that there is none before it returns.
    """

    def __init__(self) -> None:
        views: list[dict[str, Any]] = []
        self.views = views
        self.when_asked: Callable[[], None] | None = None

        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                if server.when_asked is not None:
                    server.when_asked()
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                asked = json.loads(body) if self.path.endswith("graphql") else {}
                variables = asked.get("variables") or {}
                data = answer(asked.get("query", ""), variables)
                if "upsertView" in data:
                    views.append(variables)
                text = json.dumps({"data": data}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None:
                """Nothing on stderr."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def use(self) -> None:
        """Make it the server of this process, with a key; before W&B is imported."""
        os.environ.update(self.environment())

    def environment(self) -> dict[str, str]:
        """What makes it the server of a process that is started with it."""
        address = f"http://127.0.0.1:{self._server.server_port}"
        return {"WANDB_BASE_URL": address, "WANDB_API_KEY": "a" * 40}

    def fall_silent(self) -> None:
        """From now on it takes what it is sent and never answers."""
        self.when_asked = threading.Event().wait

    def interrupt(self) -> None:
        """It never answers, and its process gets a Ctrl-C as soon as it should.

        Called in the process's main thread. What a shell starts in the background ignores Ctrl-C, and so do
        the processes that it starts.
        """
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.default_int_handler)

        def never_answer() -> None:
            os.kill(os.getpid(), signal.SIGINT)
            threading.Event().wait()

        self.when_asked = never_answer

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def answer(query: str, variables: dict[str, Any]) -> dict[str, Any]:
    project = {"id": "p", "name": PROJECT, "entityName": ENTITY, "entity": {"id": "e", "name": ENTITY}}
    if "upsertBucket" in query:
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
    if "createArtifact(" in query:  # one it has already: nothing is to be uploaded
        sequence = {"id": "s", "latestArtifact": {"id": "a", "versionIndex": 0}}
        return {
            "createArtifact": {"artifact": {"id": "a", "state": "COMMITTED", "artifactSequence": sequence}}
        }
    if "artifactType" in query:
        return {"project": None}
    nothing = {"edges": [], "pageInfo": {"endCursor": None, "hasNextPage": False}}
    viewer = {"id": "u", "entity": ENTITY, "username": ENTITY, "flags": "{}", "teams": {"edges": []}}
    return {"viewer": viewer, "models": nothing}
