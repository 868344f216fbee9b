"""A loopback stand-in for the W&B server: enough of its GraphQL and file-stream answers for wandb to log and sync.

It accepts everything and keeps what it was sent. It evaluates nothing but the ids by which runs are asked for, so it
shows what wandb's client sends, not that the real server takes it.
"""

import base64
import json
import re
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal, Self

Json = dict[str, Any]
Trouble = Literal["broken", "slow", "refusing"]


@dataclass
class Received:
    """What one run has sent."""

    upserts: list[Json] = field(default_factory=list)
    history: list[Json] = field(default_factory=list)
    summary: Json = field(default_factory=dict)
    exit_code: int | None = None

    @property
    def config(self) -> Json:
        """The last configuration, without the `{"value": ...}` around each entry."""
        texts = [upsert["config"] for upsert in self.upserts if upsert.get("config")]
        return {key: entry["value"] for key, entry in json.loads(texts[-1]).items()} if texts else {}

    def sent(self, key: str) -> Any:
        """The last value of one variable of the run's upserts."""
        return [upsert[key] for upsert in self.upserts if upsert.get(key) is not None][-1]


class FakeServer:
    """Serves on a free port of the loopback until the block ends. `down()` ends it earlier, as an outage would.

    With `trouble` it answers with errors, late, or that it has had enough.
    """

    def __init__(self, *, refuse_key: bool = False) -> None:
        self.refuse_key = refuse_key
        self.trouble: Trouble | None = None
        self.refuse: dict[str, int] = {}  # status by the name of an operation, instead of an answer
        self.projects = {"randwire"}
        self.views: list[Json] = []
        self.runs: dict[str, Received] = {}
        self.artifacts: list[Json] = []
        self.uploads: dict[str, bytes] = {}
        self.operations: list[str] = []
        self.keys: set[str] = set()
        self.lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"fake": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.down()

    def down(self) -> None:
        """Stop answering: new connections are refused."""
        self._server.shutdown()
        self._server.server_close()

    def run(self, name: str) -> Received:
        return self.runs.setdefault(name, Received())

    def graphql(self, query: str, variables: Json) -> tuple[int, Json]:
        """The status of the answer to one operation, and the answer."""
        found = re.search(r"\b(?:query|mutation)\s+(\w+)", query)
        operation = found.group(1) if found else "?"
        self.operations.append(operation)
        if status := self.refuse.get(operation):
            return status, {"errors": [{"message": f"refused with {status}"}]}
        answer = getattr(self, f"_{operation.lower()}", None)
        return 200, {"data": answer(variables) if answer else {}}

    def stream(self, name: str, body: Json) -> None:
        """Take one file-stream request of a run: rows of history and summary, and the exit code."""
        run = self.run(name)
        for file, content in (body.get("files") or {}).items():
            rows = [json.loads(line) for line in content["content"]]
            if file == "wandb-history.jsonl":
                run.history.extend(rows)
            elif file == "wandb-summary.json":
                for row in rows:
                    run.summary.update(row)
        if body.get("complete"):
            run.exit_code = body["exitcode"]

    def _getviewer(self, variables: Json) -> Json:
        return {"viewer": _VIEWER}

    _viewer = _getdefaultentity = _getviewer

    def _getprojects(self, variables: Json) -> Json:
        nodes = [{"id": "P", "name": name, "entityName": "tester", "createdAt": "2025-01-02T03:04:05Z",
                  "isBenchmark": False, "user": _VIEWER} for name in sorted(self.projects)]  # fmt: skip
        return {"models": {"pageInfo": _LAST_PAGE, "edges": [{"node": node} for node in nodes]}}

    def _projectinternalid(self, variables: Json) -> Json:
        known = variables["projectName"] in self.projects
        return {"project": {"id": "P", "internalId": "UHJvamVjdDox"} if known else None}

    def _runs(self, variables: Json) -> Json:
        if variables["project"] not in self.projects:
            return {"project": None}
        wanted = json.loads(variables["filters"])["name"]["$in"]
        nodes = [
            {"id": name, "name": name, "state": "finished", "config": "{}", "summaryMetrics": json.dumps(run.summary)}
            for name, run in self.runs.items()
            if name in wanted
        ]
        edges = [{"node": node, "cursor": node["name"]} for node in nodes]
        return {"project": {"runCount": len(nodes), "runs": {"edges": edges, "pageInfo": _LAST_PAGE}}}

    def _upsertview(self, variables: Json) -> Json:
        self.views.append(variables)
        view = {key: variables[key] for key in ("type", "name", "displayName", "description", "spec")}
        view |= {"id": variables["id"] or f"VmlldzoxMjM{len(self.views)}", "updatedAt": "2025-01-02T03:04:05Z"}
        view["project"] = {"id": "P", "name": variables["projectName"], "entityName": variables["entityName"]}
        return {"upsertView": {"view": view, "inserted": variables["id"] is None}}

    def _serverinfo(self, variables: Json) -> Json:
        return {"viewer": _VIEWER, "serverInfo": {"features": [], "cliVersionInfo": {}, "latestLocalVersionInfo": None}}

    def _runresumestatus(self, variables: Json) -> Json:
        name = variables["name"]
        if name not in self.runs:
            return {"model": {"id": "P", "name": "p", "entity": _ENTITY, "bucket": None}}
        run = self.runs[name]
        rows = run.history
        bucket = {
            "id": name,
            "name": name,
            "summaryMetrics": json.dumps(run.summary),
            "displayName": run.sent("displayName"),
            "logLineCount": 0,
            "historyLineCount": len(rows),
            "eventsLineCount": 0,
            "historyTail": json.dumps([json.dumps(row) for row in rows[-1:]]),
            "eventsTail": "[]",
            "config": run.sent("config"),
            "tags": [],
            "wandbConfig": json.dumps({"t": {"value": 1}}),
        }
        return {"model": {"id": "P", "name": "p", "entity": _ENTITY, "bucket": bucket}}

    def _upsertbucket(self, variables: Json) -> Json:
        name = variables["name"]
        new = name not in self.runs
        self.run(name).upserts.append(variables)
        project = {"id": "P", "name": variables.get("project") or "p", "entity": _ENTITY}
        bucket = {"id": name, "name": name, "displayName": variables.get("displayName"), "description": None}
        bucket |= {"config": variables.get("config"), "sweepName": None, "historyLineCount": 0, "project": project}
        return {"upsertBucket": {"bucket": bucket, "inserted": new}}

    def _createrunfiles(self, variables: Json) -> Json:
        files = [{"name": name, "uploadUrl": f"{self.url}/put/{name}"} for name in variables["files"]]
        return {"createRunFiles": {"runID": variables["run"], "uploadHeaders": [], "files": files}}

    def _artifacttype(self, variables: Json) -> Json:
        return {"project": {"artifact": None}}

    def _createartifact(self, variables: Json) -> Json:
        self.artifacts.append(variables["input"])
        sequence = {"id": "S", "latestArtifact": None}
        return {"createArtifact": {"artifact": {"id": "A", "state": "PENDING", "artifactSequence": sequence}}}

    def _createartifactmanifest(self, variables: Json) -> Json:
        file = {"id": "F", "name": variables["name"], "displayName": "m", "uploadHeaders": []}
        file |= {"uploadUrl": f"{self.url}/put/manifest", "artifact": {"id": "A"}}
        return {"createArtifactManifest": {"artifactManifest": {"id": "M", "file": file}}}

    _updateartifactmanifest = _createartifactmanifest

    def _createartifactfiles(self, variables: Json) -> Json:
        nodes = []
        for spec in variables["input"]["artifactFiles"]:
            node = {"id": "F", "name": spec["name"], "displayName": spec["name"], "uploadHeaders": []}
            node |= {"uploadUrl": f"{self.url}/put/artifact/{spec['name']}", "storagePath": f"artifact/{spec['name']}"}
            node |= {"uploadMultipartUrls": None, "artifact": {"id": "A"}}
            nodes.append({"node": node})
        return {"createArtifactFiles": {"files": {"edges": nodes}}}

    def _commitartifact(self, variables: Json) -> Json:
        return {"commitArtifact": {"artifact": {"id": "A", "digest": "d"}}}


_LAST_PAGE = {"__typename": "PageInfo", "endCursor": None, "hasNextPage": False}
_ENTITY = {"id": "E", "name": "tester"}
_VIEWER = {
    "id": "U", "name": "tester", "username": "tester", "email": "tester@example.invalid", "admin": False,
    "flags": "{}", "entity": "tester", "deletedAt": None, "apiKeys": {"edges": []}, "teams": {"edges": []},
}  # fmt: skip


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: wandb drops its connections when it ends."""


class _Handler(BaseHTTPRequestHandler):
    fake: FakeServer
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self._body()
        if self.fake.trouble == "slow":
            time.sleep(60)
        if self.fake.trouble:
            self._answer(429 if self.fake.trouble == "refusing" else 500, {"error": self.fake.trouble})
            return
        with self.fake.lock:
            if not self._known():
                self._answer(401, {"errors": [{"message": "user is not logged in"}]})
            elif self.path == "/graphql":
                request = json.loads(body)
                self._answer(*self.fake.graphql(request["query"], request.get("variables") or {}))
            elif self.path.endswith("/file_stream"):
                self.fake.stream(self.path.split("/")[-2], json.loads(body))
                self._answer(200, {"exitcode": None, "limits": {}})
            else:
                self._answer(404, {})

    def do_PUT(self) -> None:
        body = self._body()
        if self.fake.trouble:
            self._answer(500, {})
            return
        with self.fake.lock:
            self.fake.uploads[self.path.removeprefix("/put/")] = body
        self._answer(200, {})

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _known(self) -> bool:
        scheme, _, value = (self.headers.get("Authorization") or "").partition(" ")
        if scheme == "Basic":
            self.fake.keys.add(base64.b64decode(value).decode().partition(":")[2])
        return bool(value) and not self.fake.refuse_key

    def _answer(self, status: int, content: Json) -> None:
        text = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
