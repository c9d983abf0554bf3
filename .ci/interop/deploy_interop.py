"""What `deep3m submit` writes, and what lies in deploy/, against the schemas and linters of those who read it.

    python deploy_interop.py DEEP3M

Nothing is submitted and nothing leaves this machine. Each check is also given something wrong, which it must find.
"""

import copy
import json
import os
import re
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import botocore.session
import cfnlint.decode
import kubernetes_validate
from botocore.validate import ParamValidator

ROOT = Path(__file__).resolve().parents[2]
TOOLS = Path(sys.executable).parent

FULL = ["--workers=8", "--worker-cpus=4", "--worker-memory=16GB", "--worker-gpus=1", "--device=cpu", "--variations=4"]
KUBERNETES = ["kubernetes", "/data/my model", "/data/it's.zarr", "-o", "/data/$(out).zarr", "--image=r.example/deep3m:0.1",
              "--pvc=microscopy:/data", "--pvc=more:/more"]
BATCH = ["aws-batch", "/data/my model", "s3://lab/it's.zarr", "-o", "/data/$(out).zarr", "--image=r.example/deep3m:0.1",
         "--queue=gpu", "--efs=fs-0123456789:/data"]
SLURM = ["slurm", "my model", "it's.zarr", "-o", "$(out).zarr", "--setup=module load cuda", "--time=4:00:00"]


def files(deep3m, words):
    """The files that a dry run writes, by their names."""
    with tempfile.TemporaryDirectory() as folder:
        command = [deep3m, "submit", *words, "--dry-run", "--files", "files"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        return {path.name: path.read_text() for path in (Path(folder) / "files").iterdir()}


def refused(check, *arguments):
    """Whether a check finds fault."""
    try:
        check(*arguments)
    except Exception as error:  # each checker has an exception of its own
        return str(error) or type(error).__name__
    raise SystemExit(f"{check.__name__} took {arguments} without a word")


def check_kubernetes(deep3m):
    def valid(manifest, version):
        kubernetes_validate.validate(manifest, version, strict=True)

    more = ["--node-selector=accelerator=a100", "--namespace=lab", "--service-account=deep3m", "--secret=s3"]
    # The first in which a limit per index is on by itself, and the newest that is known.
    versions = ["1.29", kubernetes_validate.latest_version()]
    for words in (KUBERNETES + ["--workers=1"], KUBERNETES + FULL + more):
        for name, text in files(deep3m, words).items():
            manifest = json.loads(text)
            for version in versions:
                valid(manifest, version)
            unknown = copy.deepcopy(manifest)
            unknown["spec"]["template"]["spec"]["containers"][0]["arg"] = []
            assert "arg" in refused(valid, unknown, versions[-1]), name
    print(f"kubernetes manifests fit the schemas of Kubernetes {' and '.join(versions)}")


def check_batch(deep3m):
    model = botocore.session.Session().get_service_model("batch")

    def valid(operation, given):
        shape = model.operation_model(operation).input_shape
        report = ParamValidator().validate(given, shape)
        assert not report.has_errors(), report.generate_report()

    operations = {"definition.json": "RegisterJobDefinition", "workers.json": "SubmitJob", "last-step.json": "SubmitJob"}
    for words in (BATCH + ["--workers=1"], BATCH + FULL + ["--job-role=arn:aws:iam::123456789012:role/deep3m", "--retries=9"]):
        written = files(deep3m, words)
        assert set(written) == set(operations)
        for name, text in written.items():
            given = json.loads(text)
            valid(operations[name], given)
            assert "Unknown parameter" in refused(valid, operations[name], given | {"jobname": "x"})
        definition = json.loads(written["definition.json"])
        attempts = definition["retryStrategy"]["attempts"]
        assert 1 <= attempts <= 10, attempts
        array = json.loads(written["workers.json"]).get("arrayProperties")
        assert array is None or array["size"] >= 2, "AWS Batch takes arrays of 2 to 10,000"
        shellcheck(definition["containerProperties"]["command"][2], "sh")
        shellcheck(json.loads(written["last-step.json"])["containerOverrides"]["command"][2], "sh")
    print("AWS Batch jobs fit botocore's shapes")


def shellcheck(text, shell):
    """A script without faults; that `$(out)` is not replaced between single quotes (SC2016) is what is wanted."""
    command = [TOOLS / "shellcheck", f"--shell={shell}", "--exclude=SC2016", "-"]
    found = subprocess.run(command, input=text, text=True, capture_output=True, check=False)
    assert found.returncode == 0, found.stdout


def check_slurm(deep3m):
    for text in files(deep3m, SLURM + FULL).values():
        shellcheck(text, "bash")
    assert "SC" in refused(shellcheck, "#!/bin/bash\nif [ $a = b ]; then", "bash")
    print("SLURM scripts have no faults that shellcheck knows")


def check_scripts():
    scripts = [*ROOT.glob(".ci/**/*.sh"), ROOT / ".ci/run"]
    subprocess.run([TOOLS / "shellcheck", "--external-sources", *scripts], check=True, cwd=ROOT)
    dockerfiles = sorted((ROOT / "deploy").glob("Dockerfile*"))
    # DL3008: Debian keeps no old versions, so one that is pinned is soon one that is gone.
    subprocess.run([TOOLS / "hadolint", "--ignore=DL3008", *dockerfiles], check=True)
    assert len(dockerfiles) == 2
    for text in map(Path.read_text, [*dockerfiles, ROOT / "deploy/deep3m.def"]):
        rust = re.search(r'rust-version = "(.+)"', (ROOT / "Cargo.toml").read_text()).group(1)
        assert f"rust:{rust}-" in text, f"the images build with Rust {rust}"
        assert "ENTRYPOINT" not in text
    print("Dockerfiles have no faults that hadolint knows")


def check_stack():
    path = ROOT / "deploy/aws/deep3m.yaml"
    subprocess.run([TOOLS / "cfn-lint", path], check=True)
    template, problems = cfnlint.decode.decode(str(path))
    assert not problems, problems
    launch = template["Resources"]["Launch"]["Properties"]["LaunchTemplateData"]
    assert launch["MetadataOptions"]["HttpTokens"] == "required"
    assert launch["InstanceInitiatedShutdownBehavior"] == "stop"
    disk = launch["BlockDeviceMappings"][0]["Ebs"]
    assert disk["Encrypted"] is True and disk["VolumeType"] == "gp3"
    rules = template["Resources"]["Firewall"]["Properties"]["SecurityGroupIngress"]
    assert [(rule["FromPort"], rule["ToPort"], rule["CidrIp"]) for rule in rules] == [(22, 22, {"Ref": "SshCidr"})]
    setup = launch["UserData"]["Fn::Base64"]["Fn::Sub"]
    values = {"IdleMinutes": "30", "SourceUrl": "https://source.example/deep3m.tar.gz", "Handle": "https://handle.example/?a=b"}
    setup = re.sub(r"\$\{(\w+)\}", lambda name: values[name.group(1)], setup)
    assert len(setup) < 16384, "a computer takes 16 KiB of user data"
    shellcheck(setup, "bash")
    idle = re.search(r"<<'IDLE'\n(.*?)\nIDLE\n", setup, re.DOTALL).group(1)
    shellcheck(idle, "sh")
    check_idle(idle)
    print("the stack has no faults that cfn-lint knows; the computer stops when it is not used, and only then")


def check_idle(script):
    """The script that stops the computer, on a computer that is made up."""
    with tempfile.TemporaryDirectory() as folder:
        at = Path(folder)
        (at / "pts").mkdir()
        for name, told in [("/run/deep3m-last-use", "mark"), ("/proc/loadavg", "loadavg"), ("/dev/pts -type c", "pts -type f")]:
            assert name in script
            script = script.replace(name, f"{at}/{told}")
        (at / "bin").mkdir()

        def program(name, text):
            path = at / "bin" / name
            path.write_text(f"#!/bin/sh\n{text}\n")
            path.chmod(path.stat().st_mode | stat.S_IXUSR)

        def stops(load="0.10", card="echo 0", copying="exit 1", key_seconds=3600, idle_minutes=31.5):
            """Whether it stops the computer now."""
            (at / "loadavg").write_text(f"{load} 0.2 0.3 1/200 4000\n")
            program("nvidia-smi", card)
            program("pgrep", copying)
            program("logger", "")
            program("shutdown", f"touch {at}/stopped")
            now = time.time()
            terminal = at / "pts/0"
            terminal.touch()
            os.utime(terminal, (now - key_seconds, now))
            (at / "stopped").unlink(missing_ok=True)
            (at / "mark").unlink(missing_ok=True)
            if idle_minutes is not None:
                (at / "mark").touch()
                os.utime(at / "mark", (now - idle_minutes * 60,) * 2)
            environment = os.environ | {"PATH": f"{at}/bin:{os.environ['PATH']}"}
            subprocess.run(["sh", "-c", script], check=True, env=environment)
            return (at / "stopped").exists()

        assert stops()
        assert stops(card="exit 9"), "a driver that fails does not keep it awake"
        assert stops(card="echo '[N/A]'")
        assert not stops(load="0.50"), "the processor works"
        assert not stops(load="12.0")
        assert not stops(card="echo 3; echo 99; echo 7"), "a card works"
        assert not stops(copying="exit 0"), "files are copied"
        assert not stops(key_seconds=30), "someone types"
        assert not stops(idle_minutes=29), "not long enough"
        assert not stops(idle_minutes=None), "it has just started"
        assert not stops(load="1.0", idle_minutes=500)
        assert time.time() - (at / "mark").stat().st_mtime < 60, "use counts from now on"


def main():
    deep3m = str(Path(sys.argv[1]).resolve())
    check_kubernetes(deep3m)
    check_batch(deep3m)
    check_slurm(deep3m)
    check_scripts()
    check_stack()


main()
