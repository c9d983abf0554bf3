"""`deep3m submit kubernetes` and `aws-batch` with the real kubectl and aws, against services that are made up.

    python submit_interop.py DEEP3M

Shows that the programs take the words that they are given and that their answers are understood. kubectl is not in the
registries that CI reaches: where it is not installed, that half says so and is left out.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

JOBS = "/apis/batch/v1/namespaces/lab/jobs"


class Service(BaseHTTPRequestHandler):
    """As much of a Kubernetes API server and of AWS Batch as a submission meets."""

    received = []
    looks = 0

    def answer(self, value, status=200):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

    def do_GET(self):
        path = self.path.split("?")[0]
        group = {"name": "batch", "versions": [{"groupVersion": "batch/v1", "version": "v1"}],
                 "preferredVersion": {"groupVersion": "batch/v1", "version": "v1"}}
        job = {"name": "jobs", "singularName": "job", "namespaced": True, "kind": "Job", "verbs": ["create", "get", "delete"]}
        fixed = {
            "/api": {"kind": "APIVersions", "versions": ["v1"]},
            "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": []},
            "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": [group]},
            # That the service itself refuses fields that it does not know, so that kubectl need not.
            "/openapi/v3": {"paths": {"apis/batch/v1": {"serverRelativeURL": "/openapi/v3/apis/batch/v1"}}},
            "/openapi/v3/apis/batch/v1": {"openapi": "3.0.0", "info": {"title": "batch", "version": "1"}, "paths": {
                "/apis/batch/v1/namespaces/{namespace}/jobs/{name}": {"patch": {
                    "parameters": [{"name": "fieldValidation", "in": "query", "schema": {"type": "string"}}],
                    "responses": {},
                    "x-kubernetes-group-version-kind": {"group": "batch", "version": "v1", "kind": "Job"}}}}},
            "/apis/batch/v1": {"kind": "APIResourceList", "groupVersion": "batch/v1", "resources": [job]},
        }
        if path in fixed:
            return self.answer(fixed[path])
        if path.startswith(JOBS + "/"):
            Service.looks += 1
            name = path.rsplit("/", 1)[1]
            status = {"completedIndexes": "0,2", "failedIndexes": "1", "conditions": [
                {"type": "FailureTarget", "status": "True"}, {"type": "Failed", "status": "True", "reason": "FailedIndexes"}]}
            if name.endswith("-last-made"):
                status = {"succeeded": 1, "conditions": [{"type": "Complete", "status": "True"}]}
            return self.answer({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "status": status})
        return self.answer({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404, "reason": "NotFound"}, 404)

    def do_POST(self):
        given = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        path = self.path.split("?")[0]
        if path == "/v1/describejobs":
            Service.looks += 1
            summary = {"RUNNING": 0, "SUCCEEDED": 2, "FAILED": 1}
            return self.answer({"jobs": [
                {"jobId": "id-1", "jobName": "a", "status": "PENDING", "arrayProperties": {"size": 3, "statusSummary": summary}},
                {"jobId": "id-2", "jobName": "b", "status": "SUCCEEDED" if Service.looks > 1 else "PENDING"}]})
        Service.received.append((path, given))
        if path == JOBS:
            made = given["metadata"] | {"name": given["metadata"]["generateName"] + "made"}
            return self.answer(given | {"metadata": made}, 201)
        if path == "/v1/registerjobdefinition":
            return self.answer({"jobDefinitionName": "d", "jobDefinitionArn": "arn:aws:batch:x:1:job-definition/d:7", "revision": 7})
        number = sum(path == "/v1/submitjob" for path, _ in Service.received)
        return self.answer({"jobId": f"id-{number}", "jobName": given["jobName"]})


def received():
    """What has come since the last call."""
    came, Service.received, Service.looks = Service.received, [], 0
    return came


def submit(deep3m, words, environment):
    """What a service is sent by the command, and by the script that a dry run prints; and the files of the command."""
    with tempfile.TemporaryDirectory() as folder:
        command = [deep3m, "submit", *words, "--poll=0.2", "--files=files"]
        run = {"cwd": folder, "env": os.environ | environment, "text": True, "capture_output": True, "check": False}
        done = subprocess.run(command, timeout=120, **run)
        assert done.returncode == 0 and "complete" in done.stdout, (done.stdout, done.stderr)
        assert "1 of 3 workers failed" in done.stderr, done.stderr
        by_command = received()
        files = {path.name: json.loads(path.read_text()) for path in (Path(folder) / "files").iterdir()}
        script = subprocess.run([deep3m, "submit", *words, "--dry-run"], **run).stdout
        done = subprocess.run(["sh", "-c", script], timeout=120, **run)
        assert done.returncode == 0, done.stderr
        assert received() == by_command, "the script sends what the command sends"
        return by_command, files


def main():
    deep3m = str(Path(sys.argv[1]).resolve())
    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    common = ["--workers=3", "--image=r.example/deep3m:0.1"]

    environment = {"AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none", "AWS_DEFAULT_REGION": "eu-west-1",
                   "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "AWS_EC2_METADATA_DISABLED": "true"}
    words = ["aws-batch", "/data/my model", "s3://lab/it's.zarr", "-o", "/data/$(out).zarr", "--queue=gpu",
             "--efs=fs-0123456789:/data", f"--engine-arg=--endpoint-url={address}", *common]
    sent, files = submit(deep3m, words, environment)
    definition = {"jobDefinition": "arn:aws:batch:x:1:job-definition/d:7"}
    assert sent == [
        ("/v1/registerjobdefinition", files["definition.json"]),
        ("/v1/submitjob", files["workers.json"] | definition),
        ("/v1/submitjob", files["last-step.json"] | definition | {"dependsOn": [{"jobId": "id-1"}]}),
    ], sent
    print("aws sends what was meant, and its answers are understood")

    if shutil.which("kubectl") is None:
        print("\n!! NOT RUN: deep3m submit kubernetes with the real kubectl, which is not installed\n", file=sys.stderr)
        return
    with tempfile.TemporaryDirectory() as home:
        words = ["kubernetes", "/data/my model", "/data/it's.zarr", "-o", "/data/$(out).zarr", "--pvc=microscopy:/data",
                 "--namespace=lab", f"--engine-arg=--server={address}", *common]
        sent, files = submit(deep3m, words, {"HOME": home, "KUBECONFIG": "/dev/null"})
    assert sent == [(JOBS, files["workers.json"]), (JOBS, files["last-step.json"])], sent
    print("kubectl sends what was meant, and its answers are understood")


main()
