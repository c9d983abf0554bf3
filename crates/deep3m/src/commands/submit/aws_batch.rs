//! AWS Batch: an array job, and a job that depends on it.

use serde_json::{Value, json};

use super::engine::{Engine, File, LastStep, Look, Order, SubmitError};
use super::memory::Memory;
use super::mount::Mount;
use super::shell;
use super::tool::Tool;
use super::workers::word;

/// What a worker gets if nothing is said: Batch wants both. Memory a little below 16 GiB, so that it fits a machine of
/// that size, whose system takes some.
const CPUS: u32 = 4;
pub(super) const MEMORY: Memory = Memory::from_mib(15_000);

/// What only AWS Batch takes.
#[derive(clap::Args)]
#[group(skip)]
pub(super) struct Flags {
    /// Job queue: its name or ARN
    #[arg(long, value_parser = word)]
    queue: String,
    /// Container image with deep3m
    #[arg(long, value_parser = word)]
    image: String,
    /// ARN of the role that gives containers access to s3://
    #[arg(long, value_name = "ARN", value_parser = word)]
    job_role: Option<String>,
    /// EFS file system and where containers see it; repeat it for more
    #[arg(long, value_name = "ID:PATH")]
    efs: Vec<Mount>,
}

impl Flags {
    /// What containers see.
    pub(super) fn mounts(&self) -> &[Mount] {
        &self.efs
    }
}

/// A prediction on AWS Batch.
pub(super) struct AwsBatch<'a> {
    order: &'a Order<'a>,
    flags: &'a Flags,
    jobs: Option<[String; 2]>,
    log_stream: Option<String>,
}

impl<'a> AwsBatch<'a> {
    pub(super) fn new(order: &'a Order<'a>, flags: &'a Flags) -> Result<Self, SubmitError> {
        let mut words = order.line.last_step().into_iter().chain([order.program.clone()]);
        // Batch replaces Ref::name by a parameter of that name.
        if let Some(word) = words.find(|word| word.contains("Ref::")) {
            return Err(SubmitError::Word { word, found: "Ref::", expected: "which AWS Batch would replace" });
        }
        Ok(Self { order, flags, jobs: None, log_stream: None })
    }

    fn aws(&self) -> Tool {
        Tool::new("aws", "Install the AWS CLI, and log in", self.order.flags.engine_arg.clone())
    }

    /// What a worker's container runs.
    ///
    /// A job that depends on one that failed is never started (AWS Batch, job dependencies), so the last attempt of a
    /// worker ends well whatever is missing: the last step says so.
    fn worker_command(&self) -> String {
        let (n, attempts) = (self.order.workers(), self.attempts());
        // An array has at least two jobs.
        let index = if n == 1 { "0/1".to_owned() } else { format!("\"$AWS_BATCH_JOB_ARRAY_INDEX/{n}\"") };
        let first = format!("{} predict --worker={index}", shell::quote(&self.order.program));
        format!(
            "{}\ncode=$?\nif [ $code -ne 2 ] && [ \"${{AWS_BATCH_JOB_ATTEMPT:-1}}\" -ge {attempts} ]; then code=0; fi\nexit $code",
            shell::command(&first, &self.order.line.worker())
        )
    }

    fn last_step_command(&self) -> String {
        let first = format!("exec {} predict", shell::quote(&self.order.program));
        shell::command(&first, &self.order.line.last_step())
    }

    fn attempts(&self) -> u32 {
        self.order.flags.retries + 1
    }

    fn definition(&self) -> Value {
        let flags = self.order.flags;
        let cpus = flags.worker_cpus.map_or(CPUS, std::num::NonZero::get);
        let memory = flags.worker_memory.unwrap_or(MEMORY).mib();
        let mut resources = vec![
            json!({ "type": "VCPU", "value": cpus.to_string() }),
            json!({ "type": "MEMORY", "value": memory.to_string() }),
        ];
        resources.extend(flags.worker_gpus.map(|n| json!({ "type": "GPU", "value": n.to_string() })));
        let mut container = json!({
            "image": self.flags.image,
            "command": ["/bin/sh", "-c", self.worker_command()],
            "resourceRequirements": resources,
            // A container is shown all cores of its machine.
            "environment": [{ "name": "RAYON_NUM_THREADS", "value": cpus.to_string() }],
            "volumes": self.flags.efs.iter().enumerate().map(|(number, mount)| json!({
                "name": format!("volume-{number}"),
                "efsVolumeConfiguration": { "fileSystemId": mount.source, "transitEncryption": "ENABLED" },
            })).collect::<Vec<_>>(),
            "mountPoints": self.flags.efs.iter().enumerate().map(|(number, mount)| json!({
                "sourceVolume": format!("volume-{number}"),
                "containerPath": mount.path,
            })).collect::<Vec<_>>(),
        });
        if let Some(role) = &self.flags.job_role {
            container["jobRoleArn"] = json!(role);
        }
        json!({
            "jobDefinitionName": self.order.name,
            "type": "container",
            "platformCapabilities": ["EC2"],
            "containerProperties": container,
            "retryStrategy": {
                "attempts": self.attempts(),
                "evaluateOnExit": [
                    // Wrong use is not better the next time.
                    { "onExitCode": "2", "action": "EXIT" },
                    { "onReason": "*", "action": "RETRY" },
                ],
            },
        })
    }

    fn workers_job(&self) -> Value {
        let mut job = self.job(&self.order.name);
        if self.order.workers() > 1 {
            job["arrayProperties"] = json!({ "size": self.order.workers() });
        }
        job
    }

    fn last_step_job(&self) -> Value {
        let mut job = self.job(&format!("{}-last", self.order.name));
        job["containerOverrides"] = json!({ "command": ["/bin/sh", "-c", self.last_step_command()] });
        job
    }

    fn job(&self, name: &str) -> Value {
        json!({ "jobName": name, "jobQueue": self.flags.queue, "jobDefinition": self.order.name })
    }

    fn path(&self, name: &str) -> String {
        self.order.folder.join(name).to_string_lossy().into_owned()
    }

    /// Calls `aws batch` and takes one text from its answer.
    fn call(&self, arguments: &[&str], key: &'static str) -> Result<String, SubmitError> {
        let answer = self.json(arguments)?;
        answer[key].as_str().map(str::to_owned).ok_or_else(|| SubmitError::Answer {
            command: self.aws().line(&shell::words(arguments)),
            found: answer.to_string(),
            expected: key,
        })
    }

    fn json(&self, arguments: &[&str]) -> Result<Value, SubmitError> {
        let arguments = [&["batch"], arguments, &["--output=json"]].concat();
        let answer = self.aws().call(&arguments)?;
        serde_json::from_str(&answer).map_err(|_| SubmitError::Answer {
            command: self.aws().line(&shell::words(&arguments)),
            found: answer.chars().take(200).collect(),
            expected: "JSON",
        })
    }
}

impl Engine for AwsBatch<'_> {
    fn name(&self) -> &'static str {
        "aws-batch"
    }

    fn files(&self) -> Vec<File> {
        let text = |value: Value| format!("{value:#}\n");
        vec![
            File { name: "definition.json", text: text(self.definition()) },
            File { name: "workers.json", text: text(self.workers_job()) },
            File { name: "last-step.json", text: text(self.last_step_job()) },
        ]
    }

    fn commands(&self) -> Vec<String> {
        let batch = |action: &str, file: &str, rest: &str| {
            let file = shell::quote(&format!("file://{}", self.path(file)));
            self.aws().line(&format!("batch {action} --cli-input-json {file} {rest}--output text"))
        };
        let register = batch("register-job-definition", "definition.json", "--query jobDefinitionArn ");
        let definition = "--job-definition \"$definition\" --query jobId ";
        let workers = batch("submit-job", "workers.json", definition);
        let last = batch("submit-job", "last-step.json", &format!("--depends-on \"jobId=$workers\" {definition}"));
        vec![format!("definition=$({register})"), format!("workers=$({workers})"), last]
    }

    fn submit(&mut self) -> Result<(), SubmitError> {
        let text = |value: Value| value.to_string();
        let definition =
            self.call(&["register-job-definition", "--cli-input-json", &text(self.definition())], "jobDefinitionArn")?;
        let submit = |job: Value, more: &[&str]| {
            let job = text(job);
            let arguments = ["submit-job", "--cli-input-json", &job, "--job-definition", &definition];
            self.call(&[&arguments[..], more].concat(), "jobId")
        };
        let workers = submit(self.workers_job(), &[])?;
        match submit(self.last_step_job(), &["--depends-on", &format!("jobId={workers}")]) {
            Ok(last) => self.jobs = Some([workers, last]),
            Err(error) => {
                // Workers without a last step would leave it open whether the result is complete.
                let _ =
                    self.json(&["terminate-job", "--job-id", &workers, "--reason", "the last step was not submitted"]);
                return Err(error);
            }
        }
        Ok(())
    }

    fn jobs(&self) -> Vec<String> {
        self.jobs.iter().flatten().cloned().collect()
    }

    fn hints(&self) -> Vec<String> {
        let jobs = self.jobs();
        let cancel = |job: &String| self.aws().line(&format!("batch terminate-job --reason cancelled --job-id {job}"));
        vec![
            format!("submitted as AWS Batch jobs {}", jobs.join(" and ")),
            format!("to look: {}", self.aws().line(&format!("batch describe-jobs --jobs {}", jobs.join(" ")))),
            format!("to cancel: {}", jobs.iter().map(cancel).collect::<Vec<_>>().join("; ")),
        ]
    }

    fn look(&mut self) -> Result<Look, SubmitError> {
        let Some([workers, last]) = &self.jobs else { return Ok(Look::default()) };
        let answer = self.json(&["describe-jobs", "--jobs", workers, last])?;
        let find = |id: &str| {
            let jobs = answer["jobs"].as_array()?;
            jobs.iter().find(|job| job["jobId"] == id)
        };
        let missing = |id: &str| SubmitError::Answer {
            command: self.aws().line(&format!("batch describe-jobs --jobs {workers} {last}")),
            found: format!("nothing of {id}"),
            expected: "both jobs",
        };
        let array = find(workers).ok_or_else(|| missing(workers))?;
        let step = find(last).ok_or_else(|| missing(last))?;
        let summary = &array["arrayProperties"]["statusSummary"];
        let of = |state: &str| {
            // A single worker is no array.
            if self.order.workers() == 1 {
                u64::from(array["status"] == state)
            } else {
                summary[state].as_u64().unwrap_or(0)
            }
        };
        let why = step["statusReason"].as_str().unwrap_or("no reason is given");
        let look = Look {
            running: of("RUNNING"),
            done: of("SUCCEEDED"),
            failed: of("FAILED"),
            held: None,
            last_step: match step["status"].as_str().unwrap_or_default() {
                "SUCCEEDED" => LastStep::Succeeded,
                "FAILED" => LastStep::Failed(format!("the last step failed: {why}")),
                "RUNNING" | "STARTING" => LastStep::Running,
                _ => LastStep::Waiting,
            },
        };
        let log_stream = step["container"]["logStreamName"].as_str().map(str::to_owned);
        self.log_stream = log_stream;
        Ok(look)
    }

    fn last_words(&self) -> String {
        self.log_stream.as_ref().map_or_else(String::new, |stream| {
            let words = ["logs", "tail", "/aws/batch/job", "--log-stream-names", stream];
            format!("What it said: {}\n", self.aws().line(&shell::words(&words)))
        })
    }
}
