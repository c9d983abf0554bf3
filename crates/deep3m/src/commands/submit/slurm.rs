//! SLURM: a job array, and a job that starts when the array has ended, however it ended.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use super::engine::{Engine, File, LastStep, Look, Order, SubmitError};
use super::shell;
use super::tool::Tool;
use super::workers::{text, word};

const ADVICE: &str = "Give this command on a login node of the cluster";

/// The file in which the last step leaves its exit code: a cluster without accounting forgets a job after minutes.
const STATUS: &str = "last-step.status";

/// What only SLURM takes.
#[derive(clap::Args)]
#[group(skip)]
pub(super) struct Flags {
    /// Partition
    #[arg(long, value_parser = word)]
    partition: Option<String>,
    /// Account to charge
    #[arg(long, value_parser = word)]
    account: Option<String>,
    /// Quality of service
    #[arg(long, value_parser = word)]
    qos: Option<String>,
    /// Most time that a worker takes, as 4:00:00 or 1-12:00:00; a worker that is cut off leaves the rest to the last step
    #[arg(long, value_parser = word)]
    time: Option<String>,
    /// Line to run before deep3m, such as 'module load cuda'; repeat it for more
    #[arg(long, value_name = "LINE", value_parser = text)]
    setup: Vec<String>,
}

/// A prediction on SLURM.
pub(super) struct Slurm<'a> {
    order: &'a Order<'a>,
    flags: &'a Flags,
    /// The folder, as text.
    folder: String,
    /// The array's and the last step's numbers.
    jobs: Option<[String; 2]>,
    /// Of a federation, the cluster that took the jobs.
    cluster: Option<String>,
    /// Looks that did not find the last step.
    lost: u32,
}

impl<'a> Slurm<'a> {
    pub(super) fn new(order: &'a Order<'a>, flags: &'a Flags) -> Result<Self, SubmitError> {
        let folder = order.folder.to_string_lossy().into_owned();
        if folder.contains('\\') {
            // "\\: do not process any of the replacement symbols" (sbatch, filename pattern): all logs would be one file.
            let expected = "which sbatch does not take in the name of a log";
            return Err(SubmitError::Name { path: order.folder.clone(), found: "a backslash", expected });
        }
        Ok(Self { order, flags, folder, jobs: None, cluster: None, lost: 0 })
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.folder)
    }

    /// The beginning that both scripts share.
    fn head(&self, name: &str, array: bool) -> String {
        let Order { flags: workers, .. } = self.order;
        let mut options = vec![format!("job-name={name}")];
        if array {
            options.push(format!("array=0-{}", self.order.workers() - 1));
        }
        options.extend(["nodes=1", "ntasks=1"].map(str::to_owned));
        options.extend(workers.worker_cpus.map(|n| format!("cpus-per-task={n}")));
        options.extend(workers.worker_memory.map(|memory| format!("mem={}M", memory.mib())));
        options.extend(workers.worker_gpus.map(|n| format!("gres=gpu:{n}")));
        let given = [
            ("partition", &self.flags.partition),
            ("account", &self.flags.account),
            ("qos", &self.flags.qos),
            ("time", &self.flags.time),
        ];
        options.extend(given.iter().filter_map(|(name, value)| value.as_ref().map(|value| format!("{name}={value}"))));
        // A worker whose node fails, or that makes room for others, starts again and goes on in the same log.
        options.extend(["requeue", "open-mode=append"].map(str::to_owned));
        let mut text = "#!/bin/bash\n".to_owned();
        for option in options {
            let _ = writeln!(text, "#SBATCH --{option}");
        }
        text.push('\n');
        for line in &self.flags.setup {
            let _ = writeln!(text, "{line}");
        }
        if let Some(cores) = workers.worker_cpus {
            // A cluster that does not bind jobs to cores shows them all.
            let _ = writeln!(text, "export RAYON_NUM_THREADS={cores}");
        }
        text
    }

    fn workers_script(&self) -> String {
        let (n, retries) = (self.order.workers(), self.order.flags.retries);
        let first = format!("{} predict --worker=\"$SLURM_ARRAY_TASK_ID/{n}\"", shell::quote(&self.order.program));
        let mut script = self.head(&self.order.name, true);
        let _ = writeln!(script, "{}", shell::command(&first, &self.order.line.worker()));
        script.push_str("code=$?\n");
        if retries > 0 {
            // 2 is wrong use, 130 a worker that was asked to stop: neither is better the next time. SLURM ends this script
            // when it puts the job back.
            let _ = write!(
                script,
                "case $code in 0 | 2 | 130) exit $code ;; esac\n\
                 if [ \"${{SLURM_RESTART_COUNT:-0}}\" -lt {retries} ]; then\n\
                 \x20 scontrol requeue \"${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID\" && sleep 60\n\
                 fi\n"
            );
        }
        script.push_str("exit $code\n");
        script
    }

    fn last_step_script(&self) -> String {
        let first = format!("{} predict", shell::quote(&self.order.program));
        let mut script = self.head(&format!("{}-last", self.order.name), false);
        let _ = writeln!(script, "{}", shell::command(&first, &self.order.line.last_step()));
        let _ = writeln!(script, "code=$?\necho $code > {}\nexit $code", shell::quote(&self.path(STATUS)));
        script
    }

    fn sbatch(&self) -> Tool {
        Tool::new("sbatch", ADVICE, self.order.flags.engine_arg.clone())
    }

    /// The name of a log as sbatch takes it, which replaces `%a` by the worker's number and `%%` by `%`.
    fn log(&self, name: &str) -> String {
        format!("--output={}/{name}", self.folder.replace('%', "%%"))
    }

    fn workers_arguments(&self) -> [String; 3] {
        ["--parsable".to_owned(), self.log("worker-%a.log"), self.path("workers.sh")]
    }

    fn last_step_arguments(&self) -> [String; 3] {
        ["--parsable".to_owned(), self.log("last-step.log"), self.path("last-step.sh")]
    }

    /// squeue, scancel and others, asking the cluster that took the jobs.
    fn ask(&self, name: &'static str) -> Tool {
        let first = self.cluster.as_ref().map(|cluster| format!("--clusters={cluster}"));
        Tool::new(name, ADVICE, first.into_iter().collect())
    }

    /// What `sbatch --parsable` answers: the job's number, and `;` and a cluster where there are several.
    fn submitted(&mut self, arguments: &[String]) -> Result<String, SubmitError> {
        let answer = self.sbatch().call(arguments)?;
        // Sites greet in lines before it.
        let line = answer.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default().trim();
        let (number, cluster) = line.split_once(';').map_or((line, None), |(number, cluster)| (number, Some(cluster)));
        if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
            let command = self.sbatch().line(&shell::words(arguments));
            return Err(SubmitError::Answer { command, found: answer, expected: "the number of a job" });
        }
        self.cluster = cluster.map(str::to_owned);
        Ok(number.to_owned())
    }

    /// The states of jobs by their number, `A_I` in an array; a job that ended some time ago is not among them.
    fn states(&self, jobs: &[String; 2]) -> Result<BTreeMap<String, (String, String)>, SubmitError> {
        let list = format!("--jobs={}", jobs.join(","));
        let arguments = ["--noheader", "--array", "--states=all", "--format=%i|%T|%r", &list];
        let answer = match self.ask("squeue").call(&arguments) {
            // What squeue says when it has forgotten all of them.
            Err(SubmitError::Failed { said, .. }) if said.contains("Invalid job id") => String::new(),
            answer => answer?,
        };
        let fields = answer.lines().filter_map(|line| {
            let mut fields = line.trim().splitn(3, '|');
            Some((fields.next()?.to_owned(), (fields.next()?.to_owned(), fields.next()?.to_owned())))
        });
        Ok(fields.collect())
    }

    /// What the last step left, if it has ended.
    fn status(&self) -> Option<LastStep> {
        let text = fs::read_to_string(self.order.folder.join(STATUS)).ok()?;
        let code = text.strip_suffix('\n')?;
        Some(if code == "0" {
            LastStep::Succeeded
        } else {
            LastStep::Failed(format!("the last step ended with exit code {code}"))
        })
    }

    /// How the last step stands, by its state in the queue.
    fn last_step(&mut self, job: &str, state: Option<&str>) -> LastStep {
        if let Some(ended) = self.status() {
            return ended;
        }
        let accounted;
        let state = if let Some(state) = state {
            state
        } else {
            let arguments = ["--noheader", "--allocations", "--parsable2", "--format=State", "--jobs", job];
            accounted = self.ask("sacct").call(&arguments).unwrap_or_default();
            // "CANCELLED by 1000"
            accounted.split_whitespace().next().unwrap_or_default()
        };
        match (kind(state), state) {
            (Kind::Waiting, _) => LastStep::Waiting,
            (Kind::Done, "") => {
                // A shared file system may show a new file a minute late.
                self.lost += 1;
                if f64::from(self.lost) * self.order.flags.poll < 120.0 {
                    return LastStep::Running;
                }
                LastStep::Failed(format!("SLURM does not know job {job} any more, and it left no word"))
            }
            (Kind::Running, _) => LastStep::Running,
            (Kind::Done, _) => LastStep::Succeeded,
            (Kind::Failed, _) => LastStep::Failed(format!("the last step is {state} for SLURM")),
        }
    }
}

/// What a state of SLURM's means here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Waiting,
    Running,
    Done,
    Failed,
}

/// The states of squeue's JOB STATE CODES.
fn kind(state: &str) -> Kind {
    match state {
        "PENDING" | "REQUEUED" | "REQUEUE_FED" | "REQUEUE_HOLD" | "RESV_DEL_HOLD" | "SPECIAL_EXIT" | "SUSPENDED" => {
            Kind::Waiting
        }
        "RUNNING" | "COMPLETING" | "CONFIGURING" | "RESIZING" | "SIGNALING" | "STAGE_OUT" | "STOPPED" => Kind::Running,
        "COMPLETED" | "" => Kind::Done,
        _ => Kind::Failed,
    }
}

/// Reasons that pass by themselves.
const USUAL_REASONS: [&str; 8] =
    ["None", "Resources", "Priority", "Dependency", "BeginTime", "JobArrayTaskLimit", "Cleaning", ""];

impl Engine for Slurm<'_> {
    fn name(&self) -> &'static str {
        "slurm"
    }

    fn files(&self) -> Vec<File> {
        vec![
            File { name: "workers.sh", text: self.workers_script() },
            File { name: "last-step.sh", text: self.last_step_script() },
        ]
    }

    fn commands(&self) -> Vec<String> {
        let workers = self.sbatch().line(&shell::words(&self.workers_arguments()));
        let last = self
            .sbatch()
            .line(&format!("--dependency=\"afterany:${{workers%%;*}}\" {}", shell::words(&self.last_step_arguments())));
        vec![format!("rm -f {}", shell::quote(&self.path(STATUS))), format!("workers=$({workers})"), last]
    }

    fn submit(&mut self) -> Result<(), SubmitError> {
        deep3m_volume::fs::remove_file(&self.order.folder.join(STATUS))?;
        let workers = self.submitted(&self.workers_arguments())?;
        let mut arguments = vec![format!("--dependency=afterany:{workers}")];
        arguments.extend(self.last_step_arguments());
        match self.submitted(&arguments) {
            Ok(last) => self.jobs = Some([workers, last]),
            Err(error) => {
                // Workers without a last step would leave it open whether the result is complete.
                let _ = self.ask("scancel").call(&[workers]);
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
        vec![
            format!("submitted as SLURM jobs {}; logs in {}", jobs.join(" and "), self.folder),
            format!("to look: {}", self.ask("squeue").line(&format!("--array --jobs={}", jobs.join(",")))),
            format!("to cancel: {}", self.ask("scancel").line(&jobs.join(" "))),
        ]
    }

    fn look(&mut self) -> Result<Look, SubmitError> {
        let Some(jobs) = self.jobs.clone() else { return Ok(Look::default()) };
        let states = self.states(&jobs)?;
        let [workers, last] = &jobs;
        let mut look = Look { done: self.order.workers().into(), ..Look::default() };
        for (job, (state, reason)) in &states {
            if !job.strip_prefix(workers).is_some_and(|rest| rest.starts_with('_')) {
                continue;
            }
            match kind(state) {
                Kind::Done => continue,
                Kind::Waiting if !USUAL_REASONS.contains(&&**reason) => look.held = Some(reason.clone()),
                Kind::Waiting => {}
                Kind::Running => look.running += 1,
                Kind::Failed => look.failed += 1,
            }
            look.done = look.done.saturating_sub(1);
        }
        look.last_step = self.last_step(last, states.get(last).map(|(state, _)| &**state));
        Ok(look)
    }

    fn last_words(&self) -> String {
        let text = fs::read(self.order.folder.join("last-step.log")).unwrap_or_default();
        format!("{}Logs: {}\n", super::wait::tail(&String::from_utf8_lossy(&text)), self.folder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_is_waiting_running_or_an_end() {
        assert!(
            kind("PENDING") == Kind::Waiting && kind("CONFIGURING") == Kind::Running && kind("COMPLETED") == Kind::Done
        );
        for end in
            ["BOOT_FAIL", "CANCELLED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "TIMEOUT"]
        {
            assert!(kind(end) == Kind::Failed, "{end}");
        }
    }
}
