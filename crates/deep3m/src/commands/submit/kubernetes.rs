//! Kubernetes: an indexed Job, and a second Job that is made when the first has ended, however it ended.

use serde_json::{Value, json};

use super::engine::{Engine, File, LastStep, Look, Order, SubmitError};
use super::memory::Memory;
use super::mount::Mount;
use super::shell;
use super::tool::Tool;
use super::workers::word;

/// Seconds after which a Job that has ended is removed, with its logs: a week.
const KEEP_SECS: u32 = 7 * 24 * 3600;

/// Jobs of this program, for `kubectl get jobs -l`.
const LABEL: &str = "app.kubernetes.io/name";

/// What only Kubernetes takes.
#[derive(clap::Args)]
#[group(skip)]
pub(super) struct Flags {
    /// Container image with deep3m
    #[arg(long, value_parser = word)]
    image: String,
    /// Namespace [default: kubectl's]
    #[arg(long, value_parser = word)]
    namespace: Option<String>,
    /// Persistent volume claim and where containers see it; repeat it for more
    #[arg(long, value_name = "NAME:PATH")]
    pvc: Vec<Mount>,
    /// Label that a node must have; repeat it for more
    #[arg(long, value_name = "KEY=VALUE", value_parser = label)]
    node_selector: Vec<(String, String)>,
    /// What the cluster calls a graphics card
    #[arg(long, value_name = "NAME", default_value = "nvidia.com/gpu", value_parser = word)]
    gpu_resource: String,
    /// Service account of the Pods
    #[arg(long, value_name = "NAME", value_parser = word)]
    service_account: Option<String>,
    /// Secret whose entries become environment variables, such as the credentials for s3://
    #[arg(long, value_name = "NAME", value_parser = word)]
    secret: Option<String>,
}

impl Flags {
    /// What containers see.
    pub(super) fn mounts(&self) -> &[Mount] {
        &self.pvc
    }
}

fn label(text: &str) -> Result<(String, String), String> {
    let fail = || format!("'{text}' found; expected KEY=VALUE, such as accelerator=a100");
    let (key, value) = text.split_once('=').ok_or_else(fail)?;
    let plain = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "-._/".contains(c));
    if key.is_empty() || !plain(key) || !plain(value) { Err(fail()) } else { Ok((key.to_owned(), value.to_owned())) }
}

/// A prediction on Kubernetes.
pub(super) struct Kubernetes<'a> {
    order: &'a Order<'a>,
    flags: &'a Flags,
    workers: Option<String>,
    last_step: Option<String>,
}

impl<'a> Kubernetes<'a> {
    pub(super) fn new(order: &'a Order<'a>, flags: &'a Flags) -> Self {
        Self { order, flags, workers: None, last_step: None }
    }

    fn kubectl(&self) -> Tool {
        let mut first = self.order.flags.engine_arg.clone();
        first.extend(self.flags.namespace.as_ref().map(|namespace| format!("--namespace={namespace}")));
        Tool::new("kubectl", "Install it, and log in to the cluster", first)
    }

    /// A Job of containers that run `arguments`.
    fn job(&self, name: &str, arguments: &[String], spec: Value) -> Value {
        let labels = json!({ LABEL: "deep3m", "deep3m/prediction": self.order.name });
        let mut pod = json!({
            "restartPolicy": "Never",
            "containers": [self.container(arguments)],
            "volumes": self.flags.pvc.iter().enumerate().map(|(number, mount)| json!({
                "name": format!("volume-{number}"),
                "persistentVolumeClaim": { "claimName": mount.source },
            })).collect::<Vec<_>>(),
        });
        if !self.flags.node_selector.is_empty() {
            let labels = self.flags.node_selector.iter().map(|(key, value)| (key.clone(), json!(value)));
            pod["nodeSelector"] = Value::Object(labels.collect());
        }
        if let Some(account) = &self.flags.service_account {
            pod["serviceAccountName"] = json!(account);
        }
        if self.order.flags.worker_gpus.is_some() {
            // Nodes with cards are often kept for those who ask for cards.
            let key = &self.flags.gpu_resource;
            pod["tolerations"] = json!([{ "key": key, "operator": "Exists", "effect": "NoSchedule" }]);
        }
        let mut spec = spec;
        spec["template"] = json!({ "metadata": { "labels": labels }, "spec": pod });
        spec["ttlSecondsAfterFinished"] = json!(KEEP_SECS);
        let mut metadata = json!({ "generateName": format!("{name}-"), "labels": labels });
        if let Some(namespace) = &self.flags.namespace {
            metadata["namespace"] = json!(namespace);
        }
        json!({ "apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec })
    }

    fn container(&self, arguments: &[String]) -> Value {
        let flags = self.order.flags;
        let mut resources = serde_json::Map::new();
        resources.extend(flags.worker_cpus.map(|n| ("cpu".to_owned(), json!(n.to_string()))));
        resources.extend(
            flags.worker_memory.map(|memory: Memory| ("memory".to_owned(), json!(format!("{}Mi", memory.mib())))),
        );
        resources.extend(flags.worker_gpus.map(|n| (self.flags.gpu_resource.clone(), json!(n.to_string()))));
        let mut container = json!({
            "name": "deep3m",
            "image": self.flags.image,
            "command": [literal(&self.order.program)],
            "args": arguments,
            // Requests that are not given are the limits.
            "resources": { "limits": resources },
            "volumeMounts": self.flags.pvc.iter().enumerate().map(|(number, mount)| json!({
                "name": format!("volume-{number}"),
                "mountPath": mount.path,
            })).collect::<Vec<_>>(),
        });
        if let Some(secret) = &self.flags.secret {
            container["envFrom"] = json!([{ "secretRef": { "name": secret } }]);
        }
        container
    }

    fn workers_job(&self) -> Value {
        let n = self.order.workers();
        let mut arguments = vec!["predict".to_owned(), format!("--worker=$(JOB_COMPLETION_INDEX)/{n}")];
        arguments.extend(self.order.line.worker().iter().map(|word| literal(word)));
        let spec = json!({
            "completionMode": "Indexed",
            "completions": n,
            "parallelism": n,
            "backoffLimitPerIndex": self.order.flags.retries,
            "podFailurePolicy": { "rules": [
                // Wrong use is not better the next time.
                { "action": "FailIndex", "onExitCodes": { "containerName": "deep3m", "operator": "In", "values": [2] } },
                // A Pod that made room for others, or lost its node, has not failed.
                { "action": "Ignore", "onPodConditions": [{ "type": "DisruptionTarget", "status": "True" }] },
            ] },
        });
        self.job(&self.order.name, &arguments, spec)
    }

    fn last_step_job(&self) -> Value {
        let mut arguments = vec!["predict".to_owned()];
        arguments.extend(self.order.line.last_step().iter().map(|word| literal(word)));
        let spec = json!({ "backoffLimit": self.order.flags.retries });
        self.job(&format!("{}-last", self.order.name), &arguments, spec)
    }

    fn path(&self, name: &str) -> String {
        self.order.folder.join(name).to_string_lossy().into_owned()
    }

    /// Makes a Job; its name.
    fn create(&self, manifest: &Value) -> Result<String, SubmitError> {
        let arguments = ["create", REQUEST, "--output=name", "--filename=-"];
        let answer = self.kubectl().call_with(&arguments, &manifest.to_string())?;
        match answer.trim().rsplit_once('/') {
            Some((_, name)) if !name.is_empty() && !name.contains(char::is_whitespace) => Ok(name.to_owned()),
            _ => {
                let command = self.kubectl().line(&shell::words(&arguments));
                Err(SubmitError::Answer { command, found: answer, expected: "the name of a Job" })
            }
        }
    }

    fn status(&self, job: &str) -> Result<Value, SubmitError> {
        let arguments = ["get", "job", job, REQUEST, "--output=json"];
        let answer = self.kubectl().call(&arguments)?;
        let parsed: Option<Value> = serde_json::from_str(&answer).ok();
        parsed.filter(|job| job["kind"] == "Job").map(|job| job["status"].clone()).ok_or_else(|| SubmitError::Answer {
            command: self.kubectl().line(&shell::words(&arguments)),
            found: answer.chars().take(200).collect(),
            expected: "a Job as JSON",
        })
    }
}

/// kubectl waits for ever otherwise.
const REQUEST: &str = "--request-timeout=60s";

/// A word that Kubernetes hands on as it is: `$(NAME)` is replaced in commands, and `$$` becomes `$`.
fn literal(word: &str) -> String {
    word.replace('$', "$$")
}

/// How a Job ended, if it has: `Err` holds why it failed.
fn end(status: &Value) -> Option<Result<(), String>> {
    let conditions = status["conditions"].as_array()?;
    conditions.iter().filter(|condition| condition["status"] == "True").find_map(|condition| {
        let text = |key: &str| condition[key].as_str().unwrap_or_default().to_owned();
        match condition["type"].as_str()? {
            "Complete" => Some(Ok(())),
            "Failed" => Some(Err(format!("{} {}", text("reason"), text("message")).trim().to_owned())),
            _ => None,
        }
    })
}

/// How many numbers a list such as `0-3,5` holds.
fn count(indexes: &Value) -> u64 {
    let ranges = indexes.as_str().unwrap_or_default().split(',').filter(|range| !range.is_empty());
    let lengths = ranges.filter_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(last.parse::<u64>().ok()?.saturating_sub(first.parse().ok()?).saturating_add(1))
    });
    lengths.fold(0, u64::saturating_add)
}

impl Engine for Kubernetes<'_> {
    fn name(&self) -> &'static str {
        "kubernetes"
    }

    fn files(&self) -> Vec<File> {
        let text = |job: Value| format!("{job:#}\n");
        vec![
            File { name: "workers.json", text: text(self.workers_job()) },
            File { name: "last-step.json", text: text(self.last_step_job()) },
        ]
    }

    fn commands(&self) -> Vec<String> {
        let create = |name: &str| {
            self.kubectl().line(&format!("create --output=name --filename={}", shell::quote(&self.path(name))))
        };
        let ended = self
            .kubectl()
            .line("get \"$workers\" --output='jsonpath={.status.conditions[?(@.status==\"True\")].type}'");
        vec![
            format!("workers=$({})", create("workers.json")),
            format!("until {ended} | grep -Eqw 'Complete|Failed'; do sleep 10; done"),
            create("last-step.json"),
        ]
    }

    fn submit(&mut self) -> Result<(), SubmitError> {
        self.workers = Some(self.create(&self.workers_job())?);
        Ok(())
    }

    fn jobs(&self) -> Vec<String> {
        self.workers.iter().chain(&self.last_step).cloned().collect()
    }

    fn hints(&self) -> Vec<String> {
        let jobs = self.jobs().join(" ");
        let mut hints = vec![
            format!("submitted as Kubernetes Job {jobs}"),
            format!("to look: {}", self.kubectl().line(&format!("get job {jobs}"))),
            format!("to cancel: {}", self.kubectl().line(&format!("delete job {jobs}"))),
        ];
        if self.last_step.is_none() {
            let last = self.commands().pop().unwrap_or_default();
            hints.push(format!("the last step is made by this command when the workers have ended; if it no longer waits then, by: {last}"));
        }
        hints
    }

    fn look(&mut self) -> Result<Look, SubmitError> {
        let Some(workers) = &self.workers else { return Ok(Look::default()) };
        let n = u64::from(self.order.workers());
        let mut look = Look { done: n, ..Look::default() };
        let Some(last) = &self.last_step else {
            let status = self.status(workers)?;
            look.done = count(&status["completedIndexes"]).min(n);
            look.failed = count(&status["failedIndexes"]).min(n - look.done);
            look.running = status["ready"].as_u64().unwrap_or(0);
            if end(&status).is_some() {
                self.last_step = Some(self.create(&self.last_step_job())?);
            }
            return Ok(look);
        };
        let status = self.status(last)?;
        look.last_step = match end(&status) {
            Some(Ok(())) => LastStep::Succeeded,
            Some(Err(why)) => LastStep::Failed(format!("the last step failed: {why}")),
            None => LastStep::Running,
        };
        Ok(look)
    }

    fn last_words(&self) -> String {
        let Some(last) = &self.last_step else { return String::new() };
        let log = self.kubectl().call(&["logs", REQUEST, "--tail=20", &format!("job/{last}")]).unwrap_or_default();
        super::wait::tail(&log)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// What Kubernetes makes of a word of a command (k8s.io/kubernetes/third_party/forked/golang/expansion).
    fn expand(word: &str, variables: &BTreeMap<&str, &str>) -> String {
        let mut out = String::new();
        let mut rest = word;
        while let Some(at) = rest.find('$') {
            out.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix('$') {
                out.push('$');
                rest = after;
            } else if let Some((name, after)) = rest.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
                match variables.get(name) {
                    Some(value) => out.push_str(value),
                    None => out.extend(["$(", name, ")"]),
                }
                rest = after;
            } else {
                out.push('$');
            }
        }
        out + rest
    }

    proptest! {
        #[test]
        fn kubernetes_hands_on_what_was_typed(word in "[$()A-C ]{0,12}") {
            let variables = BTreeMap::from([("A", "1"), ("AB", "2"), ("", "3")]);
            prop_assert_eq!(expand(&literal(&word), &variables), word);
        }
    }

    #[test]
    fn the_number_of_a_worker_is_filled_in() {
        let variables = BTreeMap::from([("JOB_COMPLETION_INDEX", "3")]);
        assert_eq!(expand("--worker=$(JOB_COMPLETION_INDEX)/8", &variables), "--worker=3/8");
    }

    #[test]
    fn indexes_are_counted() {
        for (list, n) in [("", 0), ("0", 1), ("0-3,5", 5), ("1,3-5,7", 5), ("nonsense", 0), ("5-3", 1)] {
            assert_eq!(count(&json!(list)), n, "{list}");
        }
        assert_eq!(count(&Value::Null), 0);
    }

    #[test]
    fn ends_are_told_from_what_leads_to_them() {
        let with = |kind: &str, status: &str| json!({ "conditions": [{ "type": kind, "status": status, "reason": "R", "message": "m" }] });
        assert_eq!(end(&with("Complete", "True")), Some(Ok(())));
        assert_eq!(end(&with("Failed", "True")), Some(Err("R m".to_owned())));
        for open in
            [with("SuccessCriteriaMet", "True"), with("FailureTarget", "True"), with("Failed", "False"), json!({})]
        {
            assert_eq!(end(&open), None);
        }
    }
}
