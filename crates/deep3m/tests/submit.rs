//! Submitting from the outside: what is written, what reaches the engine's programs, what their answers lead to.
//!
//! sbatch, kubectl and aws are scripts here; `.ci/slurm/run.sh` does the same with a real SLURM.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a helper outside a test function may fail like the test itself")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::Value;

/// A folder with inputs, and a PATH with programs that are made up.
struct Place {
    folder: tempfile::TempDir,
    /// Where the inputs are, and commands run.
    at: PathBuf,
}

impl Place {
    fn new() -> Self {
        Self::named("work")
    }

    fn named(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().join(name);
        fs::create_dir_all(&at).unwrap();
        fs::create_dir(folder.path().join("bin")).unwrap();
        fs::create_dir(at.join("model")).unwrap();
        fs::write(at.join("volume.tif"), "").unwrap();
        Self { folder, at }
    }

    /// A program on the PATH that notes its words in NAME.log (a zero byte after each, a line end after all) and goes on
    /// with `script`.
    fn tool(&self, name: &str, script: &str) {
        let log = self.folder.path().join(format!("{name}.log"));
        let note = format!("{{ printf '%s\\000' \"$@\"; echo; }} >> {}", log.display());
        let path = self.folder.path().join("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\n{note}\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// What a program was given, call by call.
    fn calls(&self, name: &str) -> Vec<Vec<String>> {
        let log = fs::read_to_string(self.folder.path().join(format!("{name}.log"))).unwrap_or_default();
        let calls = log.split_inclusive("\0\n").map(|call| call.trim_end_matches('\n').trim_end_matches('\0'));
        calls.map(|call| call.split('\0').map(str::to_owned).collect()).collect()
    }

    fn path(&self) -> String {
        format!("{}:/usr/bin:/bin", self.folder.path().join("bin").display())
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_deep3m"));
        command.current_dir(&self.at).env("PATH", self.path()).arg("submit").args(words);
        command
    }

    fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// Standard output of a command that works.
    fn works(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Standard error of a command that ends with this code.
    fn fails(&self, words: &[&str], code: i32) -> String {
        let output = self.run(words);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{words:?}: {error}");
        error
    }

    /// What a dry run prints, with this machine's paths taken out.
    fn dry_run(&self, words: &[&str]) -> String {
        let text = self.works(&[words, &["--dry-run"]].concat());
        text.replace(&self.folder.path().canonicalize().unwrap().display().to_string(), "/home/me")
            .replace(&self.folder.path().display().to_string(), "/home/me")
    }
}

const SLURM: [&str; 10] =
    ["slurm", "model", "volume.tif", "-o", "out.zarr", "--workers", "3", "--poll", "0.05", "--program=/opt/deep3m"];

const KUBERNETES: [&str; 13] = [
    "kubernetes",
    "/data/model",
    "/data/volume.zarr",
    "-o",
    "/data/out $(HOME).zarr",
    "--workers",
    "3",
    "--poll",
    "0.05",
    "--image",
    "registry.example/deep3m:0.1",
    "--pvc",
    "microscopy:/data",
];

const BATCH: [&str; 15] = [
    "aws-batch",
    "/data/model",
    "s3://lab/volume.zarr",
    "-o",
    "/data/out put.zarr",
    "--workers",
    "3",
    "--poll",
    "0.05",
    "--queue",
    "cpu-queue",
    "--image",
    "registry.example/deep3m:0.1",
    "--efs",
    "fs-0123456789:/data",
];

#[test]
fn what_slurm_would_be_given() {
    let place = Place::new();
    let flags = ["--worker-cpus=4", "--worker-memory=16GB", "--worker-gpus=1", "--partition=gpu", "--account=lab"];
    let more = ["--qos=long", "--time=4:00:00", "--setup=module load cuda", "--engine-arg=--constraint=a100", "--seam"];
    insta::assert_snapshot!(place.dry_run(&[&SLURM[..], &flags, &more, &["--variations=4"]].concat()));
    assert!(!place.at.join("out.zarr.submit").exists(), "a dry run writes nothing");
    // Into files, the commands alone are printed.
    let commands = place.works(&[&SLURM[..], &["--dry-run", "--files", "scripts"]].concat());
    assert!(commands.starts_with("rm -f ") && commands.contains("/scripts/workers.sh"), "{commands}");
    assert!(fs::read_to_string(place.at.join("scripts/workers.sh")).unwrap().starts_with("#!/bin/bash\n#SBATCH"));
}

#[test]
fn what_kubernetes_would_be_given() {
    let place = Place::new();
    let flags = ["--worker-cpus=4", "--worker-memory=16GiB", "--worker-gpus=1", "--device=cpu", "--namespace=lab"];
    let more = ["--node-selector=accelerator=a100", "--service-account=deep3m", "--secret=s3", "--retries=3"];
    insta::assert_snapshot!(place.dry_run(&[&KUBERNETES[..], &flags, &more].concat()));
}

#[test]
fn what_aws_batch_would_be_given() {
    let place = Place::new();
    let flags =
        ["--worker-gpus=1", "--job-role=arn:aws:iam::123456789012:role/deep3m", "--engine-arg=--region=eu-west-1"];
    insta::assert_snapshot!(place.dry_run(&[&BATCH[..], &flags].concat()));
}

/// A program that notes its words, as a deep3m to be run.
const NOTE: &str = "exit 0";

/// sbatch as far as it goes: takes the script away and gives the job a number.
const SBATCH: &str = r#"
for word; do script=$word; done
cp "$script" "$(dirname "$0")/../job-$(basename "$script")"
case $script in */workers.sh) echo 41 ;; *) echo 42 ;; esac"#;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Whatever a folder is called, the program gets the words that were meant, and logs their names.
    #[test]
    fn names_reach_the_program_as_they_are(name in "[ '\"$`!*?\\[\\]{}()<>|&;#~=%^a-b→-]{1,10}", option in "[ '\"$`%;a]{0,6}") {
        prop_assume!(name != "." && name != ".." && name != "bin");
        let place = Place::named(&name);
        place.tool("deep3m-note", NOTE);
        place.tool("sbatch", SBATCH);
        let setup = format!("--setup=: '{}'", option.replace('\'', ""));
        let words = ["slurm", "model", "volume.tif", "-o", "out.zarr", "--workers=2", "--program=deep3m-note", &setup];
        let at = place.at.display().to_string();
        let expected = |first: &[&str]| {
            let after = [format!("--output={at}/out.zarr"), "--".to_owned(), format!("{at}/model"), format!("{at}/volume.tif")];
            first.iter().map(|word| (*word).to_owned()).chain(after).collect::<Vec<_>>()
        };
        // Both ways to submit: what a dry run prints, given to a shell; and the command itself.
        let script = place.works(&[&words[..], &["--dry-run"]].concat());
        let shell = Command::new("sh").arg("-c").arg(&script).env("PATH", place.path()).output().unwrap();
        prop_assert!(shell.status.success(), "{}", String::from_utf8_lossy(&shell.stderr));
        place.works(&[&words[..], &["--detach"]].concat());
        let calls = place.calls("sbatch");
        prop_assert_eq!(&calls[..2], &calls[2..], "the printed script submits as the command does");
        let log = format!("--output={}/out.zarr.submit/worker-%a.log", at.replace('%', "%%"));
        prop_assert_eq!(&calls[0], &["--parsable".to_owned(), log, format!("{at}/out.zarr.submit/workers.sh")]);
        prop_assert_eq!(&calls[1][0], "--dependency=afterany:41");
        for (script, first) in [("workers.sh", &["predict", "--worker=1/2"][..]), ("last-step.sh", &["predict"])] {
            let job = Command::new("bash")
                .arg(place.folder.path().join(format!("job-{script}")))
                .env("PATH", place.path())
                .env("SLURM_ARRAY_TASK_ID", "1")
                .output()
                .unwrap();
            prop_assert!(job.status.success(), "{}", String::from_utf8_lossy(&job.stderr));
            prop_assert_eq!(place.calls("deep3m-note").pop().unwrap(), expected(first));
        }
        prop_assert_eq!(fs::read_to_string(place.at.join("out.zarr.submit/last-step.status")).unwrap(), "0\n");
    }
}

/// squeue that shows workers that wait, run and end, one call after the other, and in the end a last step that leaves
/// `code`.
fn squeue(place: &Place, code: &str) {
    let status = place.at.join("out.zarr.submit/last-step.status");
    let script = format!(
        r#"
n=$(tr -cd '\n' < "{log}" | wc -c)
case $n in
  1) echo '41_0|PENDING|PartitionDown'; echo '41_1|PENDING|PartitionDown'; echo '41_2|RUNNING|None'; echo '42|PENDING|Dependency' ;;
  2) exit 1 ;;
  3) echo '41_0|COMPLETED|None'; echo '41_1|FAILED|NonZeroExitCode'; echo '41_2|CANCELLED by 0|None'; echo '42|RUNNING|None' ;;
  *) echo {code} > '{status}'; echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1 ;;
esac"#,
        log = place.folder.path().join("squeue.log").display(),
        status = status.display(),
    );
    place.tool("squeue", &script);
}

#[test]
fn a_slurm_array_is_followed_to_its_end() {
    let place = Place::new();
    place.tool("sbatch", SBATCH);
    squeue(&place, "0");
    let output = place.run(&[&SLURM[..], &["--json"]].concat());
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{told}");
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&json["jobs"], &json["complete"]), (&serde_json::json!(["41", "42"]), &Value::Bool(true)));
    for words in ["PartitionDown", "2 of 3 workers failed", "to cancel: scancel 41 42", "squeue --array --jobs=41,42"] {
        assert!(told.contains(words), "{words}: {told}");
    }
    let asked = place.calls("squeue");
    assert_eq!(asked[0], ["--noheader", "--array", "--states=all", "--format=%i|%T|%r", "--jobs=41,42"]);
}

#[test]
fn a_last_step_that_fails_fails_the_command() {
    let place = Place::new();
    place.tool("sbatch", SBATCH);
    squeue(&place, "1");
    // What an earlier submission left says nothing of this one.
    fs::create_dir(place.at.join("out.zarr.submit")).unwrap();
    fs::write(place.at.join("out.zarr.submit/last-step.status"), "0\n").unwrap();
    fs::write(place.at.join("out.zarr.submit/last-step.log"), "Error: volume.tif: section 3: damaged\n").unwrap();
    let error = place.fails(&SLURM, 1);
    for words in
        ["out.zarr: not complete", "exit code 1", "| Error: volume.tif: section 3: damaged", "goes on where it was"]
    {
        assert!(error.contains(words), "{words}: {error}");
    }
}

#[test]
fn of_several_clusters_the_one_that_took_the_jobs_is_asked() {
    let place = Place::new();
    place.tool("sbatch", "echo 'Welcome to the cluster'; echo '7;north'");
    let told = String::from_utf8(place.run(&[&SLURM[..], &["--detach"]].concat()).stderr).unwrap();
    assert!(told.contains("scancel --clusters=north 7 7"), "{told}");
}

#[test]
fn workers_without_a_last_step_are_cancelled() {
    let place = Place::new();
    place.tool(
        "sbatch",
        r"case $1 in --dep*) echo 'sbatch: error: QOSMaxSubmitJobPerUserLimit' >&2; exit 1 ;; *) echo 41 ;; esac",
    );
    place.tool("scancel", "");
    let error = place.fails(&SLURM, 1);
    assert!(error.contains("QOSMaxSubmitJobPerUserLimit"), "{error}");
    assert_eq!(place.calls("scancel"), [["41"]]);
}

#[test]
fn whoever_stops_waiting_is_told_how_to_look_and_cancel() {
    let place = Place::new();
    place.tool("sbatch", SBATCH);
    place.tool("squeue", "echo '41_0|RUNNING|None'; echo '42|PENDING|Dependency'");
    let child = place.command(&SLURM).stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let started = Instant::now();
    while place.calls("squeue").is_empty() {
        assert!(started.elapsed() < Duration::from_mins(1));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{told}");
    let end = told.split_once("No longer waiting; the jobs go on.").unwrap().1;
    assert!(end.contains("squeue --array --jobs=41,42") && end.contains("scancel 41 42"), "{told}");
}

#[test]
fn engines_that_are_not_there_are_named() {
    let place = Place::new();
    for (words, tool) in [(&SLURM[..], "sbatch"), (&KUBERNETES, "kubectl"), (&BATCH, "aws")] {
        let output = place.command(words).env("PATH", "/nowhere").output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(
            error.contains(&format!("{tool}: not found on this machine")) && error.contains("--dry-run"),
            "{error}"
        );
        let dry = place.command(&[words, &["--dry-run"]].concat()).env("PATH", "/nowhere").output().unwrap();
        assert!(dry.status.success() && String::from_utf8(dry.stdout).unwrap().contains("predict"));
    }
}

#[test]
fn what_cannot_work_is_refused_before_anything_is_submitted() {
    let place = Place::new();
    for tool in ["sbatch", "kubectl", "aws"] {
        place.tool(tool, "");
    }
    let slurm = |input: &str| place.fails(&["slurm", "model", input, "-o", "out.zarr", "--workers=2"], 1);
    assert!(slurm("nothing.tif").contains("nothing.tif: not found"));
    let kubernetes = |volume: &str, output: &str| {
        let words = ["kubernetes", "/data/m", volume, "-o", output, "--workers=2", "--image=i", "--pvc=claim:/data"];
        place.fails(&words, 1)
    };
    assert!(kubernetes("volume.tif", "/data/o").contains("volume.tif: found a relative path"));
    assert!(kubernetes("/data/v", "/tmp/o").contains("/tmp/o: lies in no mount"));
    let refused = kubernetes("/data/v", "s3://lab/o.tif");
    assert!(
        refused.contains("s3://lab/o.tif: found another format") && refused.contains("deep3m convert"),
        "{refused}"
    );
    assert!(kubernetes("/data/v", "https://lab/o.zarr").contains("to read from only"));
    let words = [
        "aws-batch",
        "/m",
        "s3://b/Ref::x",
        "-o",
        "/d/o",
        "--efs=fs-0123456789:/d",
        "--workers=2",
        "--queue=q",
        "--image=i",
    ];
    assert!(place.fails(&words, 1).contains("Ref::"));
    let layout = place.fails(&[&SLURM[..], &["--layout=cdeep3m"]].concat(), 1);
    assert!(layout.contains("--layout cdeep3m"), "{layout}");
    let backslash = place.fails(&[&SLURM[..], &["--files", "a\\b"]].concat(), 1);
    assert!(backslash.contains("a backslash") && backslash.contains("--files"), "{backslash}");
    for flag in ["--workers=0", "--partition=a b", "--time=--x", "--setup=a\nb", "--worker-memory=16", "--overwrite"] {
        place.fails(&[&SLURM[..4], &["out.zarr", "--workers=2", flag]].concat(), 2);
    }
    for tool in ["sbatch", "kubectl", "aws"] {
        assert!(place.calls(tool).is_empty(), "{tool}");
    }
}

/// kubectl on which workers end after a look and the last step ends as `condition` says.
fn kubectl(place: &Place, condition: &str) {
    let script = format!(
        r#"
case $1 in
  create) cat > "{folder}/manifest-$(tr -cd '\n' < "{folder}/kubectl.log" | wc -c).json"
     grep -q completionMode "{folder}"/manifest-$(tr -cd '\n' < "{folder}/kubectl.log" | wc -c).json && echo job.batch/work-x1 || echo job.batch/last-x2 ;;
  get) n=$(tr -cd '\n' < "{folder}/kubectl.log" | wc -c)
     case $3 in
       work-x1) if [ $n -lt 3 ]; then echo '{{"kind":"Job","status":{{"ready":2,"completedIndexes":"0"}}}}'
         else echo '{{"kind":"Job","status":{{"completedIndexes":"0,2","failedIndexes":"1","conditions":[{{"type":"Failed","status":"True"}}]}}}}'; fi ;;
       last-x2) echo '{{"kind":"Job","status":{{"conditions":[{condition}]}}}}' ;;
     esac ;;
  logs) echo 'Error: section 3 is damaged' ;;
esac"#,
        folder = place.folder.path().display(),
    );
    place.tool("kubectl", &script);
}

#[test]
fn a_kubernetes_job_is_followed_to_its_end() {
    let place = Place::new();
    kubectl(&place, r#"{"type":"Complete","status":"True"}"#);
    let output = place.run(&KUBERNETES);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{told}");
    assert!(told.contains("1 of 3 workers failed") && told.contains("kubectl delete job work-x1"), "{told}");
    let created = |number: u32| -> Value {
        serde_json::from_slice(&fs::read(place.folder.path().join(format!("manifest-{number}.json"))).unwrap()).unwrap()
    };
    let file = |name: &str| -> Value {
        serde_json::from_slice(&fs::read(place.at.join("deep3m-out-home.submit").join(name)).unwrap()).unwrap()
    };
    assert_eq!(created(1), file("workers.json"), "what is written is what is submitted");
    assert_eq!(created(4), file("last-step.json"));
}

#[test]
fn a_kubernetes_job_that_fails_shows_its_log() {
    let place = Place::new();
    kubectl(&place, r#"{"type":"Failed","status":"True","reason":"BackoffLimitExceeded","message":"limit reached"}"#);
    let error = place.fails(&KUBERNETES, 1);
    for words in ["not complete", "BackoffLimitExceeded limit reached", "| Error: section 3 is damaged"] {
        assert!(error.contains(words), "{words}: {error}");
    }
}

/// aws on which the last step ends as `status` says at the second look.
fn aws(place: &Place, status: &str) {
    let script = format!(
        r#"
case $2 in
  register-job-definition) echo '{{"jobDefinitionName":"d","jobDefinitionArn":"arn:d:7","revision":7}}' ;;
  submit-job) case "$*" in *jobId=work*) echo '{{"jobId":"last"}}' ;; *) echo '{{"jobId":"work"}}' ;; esac ;;
  describe-jobs) n=$(tr -cd '\n' < "{folder}/aws.log" | wc -c); state=PENDING; [ $n -lt 5 ] || state={status}
     echo '{{"jobs":[{{"jobId":"last","status":"'$state'","statusReason":"Essential container exited","container":{{"logStreamName":"d/default/1"}}}},'
     echo '{{"jobId":"work","status":"PENDING","arrayProperties":{{"size":3,"statusSummary":{{"RUNNING":1,"SUCCEEDED":1,"FAILED":1}}}}}}]}}' ;;
esac"#,
        folder = place.folder.path().display(),
    );
    place.tool("aws", &script);
}

#[test]
fn an_aws_batch_array_is_followed_to_its_end() {
    let place = Place::new();
    aws(&place, "SUCCEEDED");
    let output = place.run(&BATCH);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{told}");
    assert!(told.contains("1 of 3 workers failed") && told.contains("terminate-job"), "{told}");
    let calls = place.calls("aws");
    let given = |call: usize| -> Value { serde_json::from_str(&calls[call][3]).unwrap() };
    let file = |name: &str| -> Value {
        serde_json::from_slice(&fs::read(place.at.join("deep3m-out-put.submit").join(name)).unwrap()).unwrap()
    };
    for (call, name) in [(0, "definition.json"), (1, "workers.json"), (2, "last-step.json")] {
        assert_eq!(given(call), file(name), "what is written is what is submitted");
    }
    assert_eq!(calls[2][4..8], ["--job-definition", "arn:d:7", "--depends-on", "jobId=work"]);
    assert_eq!(calls[3][..5], ["batch", "describe-jobs", "--jobs", "work", "last"]);
}

#[test]
fn an_aws_batch_array_that_fails_says_where_its_log_is() {
    let place = Place::new();
    aws(&place, "FAILED");
    let error = place.fails(&BATCH, 1);
    assert!(
        error.contains("Essential container exited") && error.contains("--log-stream-names d/default/1"),
        "{error}"
    );
}

/// What a container of AWS Batch runs, run here.
#[test]
fn the_last_attempt_of_a_batch_worker_leaves_the_verdict_to_the_last_step() {
    let place = Place::new();
    place.tool("deep3m", r#"exit "$CODE""#);
    place.works(&[&BATCH[..], &["--dry-run", "--files=f"]].concat());
    let definition: Value = serde_json::from_slice(&fs::read(place.at.join("f/definition.json")).unwrap()).unwrap();
    let script = definition["containerProperties"]["command"][2].as_str().unwrap().to_owned();
    let run = |code: &str, attempt: &str| {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(&script).env("PATH", place.path()).env("CODE", code);
        command.env("AWS_BATCH_JOB_ARRAY_INDEX", "2").env("AWS_BATCH_JOB_ATTEMPT", attempt);
        command.status().unwrap().code().unwrap()
    };
    assert_eq!([run("1", "1"), run("137", "2"), run("0", "1")], [1, 137, 0]);
    assert_eq!([run("1", "3"), run("137", "3"), run("2", "3")], [0, 0, 2]);
    // Three quarters of the container's memory.
    let expected = [
        "predict",
        "--worker=2/3",
        "--output=/data/out put.zarr",
        "--memory=11250MiB",
        "--",
        "/data/model",
        "s3://lab/volume.zarr",
    ];
    assert_eq!(place.calls("deep3m")[0], expected);
}

/// A worker of SLURM's that fails puts itself back, so often and no more.
#[test]
fn a_slurm_worker_that_fails_is_put_back() {
    let place = Place::new();
    place.tool("deep3m", r#"exit "$CODE""#);
    place.tool("scontrol", "");
    // SLURM ends the script here; a second must do in its place.
    place.tool("sleep", "");
    let words =
        ["slurm", "model", "volume.tif", "-o", "out.zarr", "--workers=2", "--program=deep3m", "--dry-run", "--files=f"];
    place.works(&words);
    let run = |code: &str, restarts: &str| {
        let mut command = Command::new("bash");
        command.arg(place.at.join("f/workers.sh")).env("PATH", place.path()).env("CODE", code);
        command.env("SLURM_ARRAY_JOB_ID", "41").env("SLURM_ARRAY_TASK_ID", "1").env("SLURM_RESTART_COUNT", restarts);
        command.status().unwrap().code().unwrap()
    };
    assert_eq!([run("0", "0"), run("2", "0"), run("130", "0"), run("1", "2")], [0, 2, 130, 1]);
    assert!(place.calls("scontrol").is_empty());
    assert_eq!([run("1", "0"), run("137", "1")], [1, 137]);
    assert_eq!(place.calls("scontrol"), [["requeue", "41_1"], ["requeue", "41_1"]]);
}

/// A path as it is on this machine, for those who look at the tests' folder.
#[test]
fn relative_paths_are_those_of_the_folder_one_is_in() {
    let place = Place::new();
    let below = place.at.join("below");
    fs::create_dir(&below).unwrap();
    let words = ["slurm", "../model", "../volume.tif", "-o", "out.zarr", "--workers=2", "--dry-run"];
    let output = place.command(&words).current_dir(Path::new(&below)).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("/work/below/../model") && text.contains("/work/below/out.zarr.submit"), "{text}");
    assert!(text.contains(env!("CARGO_BIN_EXE_deep3m")), "this program is the workers': {text}");
}
