//! `deep3m submit`: one prediction, shared among workers that an existing scheduler starts.
//!
//! Each engine starts N workers (`deep3m predict … --worker I/N`) and after them the last step: the same prediction without
//! `--worker`, which fills what is missing and fails if it cannot. What differs between engines is behind [`Engine`].

mod aws_batch;
mod dry_run;
mod engine;
mod kubernetes;
mod line;
mod memory;
mod mount;
mod name;
mod shell;
mod slurm;
mod tool;
mod wait;
mod workers;

pub(crate) use self::engine::LeftRunning;

use std::path::Path;

use miette::{IntoDiagnostic, Result};

use self::engine::{Engine, Order, SubmitError};
use self::line::PredictLine;
use self::workers::WorkerFlags;
use crate::commands::print_json;
use crate::console::notice;

/// Share a prediction among many machines: SLURM, Kubernetes, AWS Batch
///
/// Takes what `deep3m predict` takes. Starts workers that share the blocks of the volume, and after them a last step
/// that makes sure that nothing is missing. The result is that of a single `deep3m predict`, byte for byte. A worker that
/// fails is started again. If something is missing in the end, the same command goes on where it was.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  deep3m submit slurm model volume.zarr -o result.zarr --workers 8 --time 4:00:00
  deep3m submit slurm model volume.zarr -o result.zarr --workers 8 --dry-run       shows what it would do")]
pub(crate) struct Args {
    #[command(subcommand)]
    engine: Which,
}

#[derive(clap::Subcommand)]
enum Which {
    Slurm(SlurmArgs),
    Kubernetes(KubernetesArgs),
    AwsBatch(AwsBatchArgs),
}

/// As a SLURM job array
///
/// MODEL, VOLUME and OUT must lie on a file system that all nodes see under the same name; VOLUME may be an address such
/// as s3://. Scripts and logs go to OUT.submit/. All other options are those of `deep3m predict`.
#[derive(clap::Args)]
#[group(skip)]
#[command(after_help = "\
Examples:
  deep3m submit slurm model volume.zarr -o result.zarr --workers 8 --time 4:00:00
  deep3m submit slurm model volume.zarr -o result.zarr --workers 4 --worker-gpus 1 --device cuda:0 \\
      --partition gpu --setup 'module load cuda'
  deep3m submit slurm model volume.zarr -o result.zarr --workers 8 --dry-run       shows the scripts")]
struct SlurmArgs {
    #[command(flatten)]
    line: PredictLine,
    #[command(flatten, next_help_heading = "Workers")]
    workers: WorkerFlags,
    #[command(flatten, next_help_heading = "SLURM")]
    flags: slurm::Flags,
}

/// As a Kubernetes indexed Job
///
/// MODEL, VOLUME and OUT are paths as the containers see them (below a --pvc, or in the image); VOLUME may be an address
/// such as s3://. All other options are those of `deep3m predict`.
#[derive(clap::Args)]
#[group(skip)]
#[command(after_help = "\
Examples:
  deep3m submit kubernetes /data/model /data/volume.zarr -o /data/result.zarr --workers 8 \\
      --image registry.example/deep3m:0.1 --pvc microscopy:/data
  deep3m submit kubernetes /data/model /data/volume.zarr -o /data/result.zarr --workers 8 \\
      --image registry.example/deep3m:0.1 --pvc microscopy:/data --dry-run         shows the manifests")]
struct KubernetesArgs {
    #[command(flatten)]
    line: PredictLine,
    #[command(flatten, next_help_heading = "Workers")]
    workers: WorkerFlags,
    #[command(flatten, next_help_heading = "Kubernetes")]
    flags: kubernetes::Flags,
}

/// As an AWS Batch array job
///
/// MODEL, VOLUME and OUT are paths as the containers see them (below an --efs, or in the image); VOLUME may be an address
/// such as s3://. All other options are those of `deep3m predict`.
#[derive(clap::Args)]
#[group(skip)]
#[command(after_help = "\
Examples:
  deep3m submit aws-batch /data/model s3://lab/volume.zarr -o /data/result.zarr --workers 8 \\
      --queue gpu-queue --image 123456789012.dkr.ecr.eu-west-1.amazonaws.com/deep3m:0.1 --efs fs-0123456789:/data \\
      --worker-gpus 1 --device cuda:0 --job-role arn:aws:iam::123456789012:role/deep3m
  deep3m submit aws-batch /data/model s3://lab/volume.zarr -o /data/result.zarr --workers 8 \\
      --queue cpu-queue --image registry.example/deep3m:0.1 --efs fs-0123456789:/data --dry-run")]
struct AwsBatchArgs {
    #[command(flatten)]
    line: PredictLine,
    #[command(flatten, next_help_heading = "Workers")]
    workers: WorkerFlags,
    #[command(flatten, next_help_heading = "AWS Batch")]
    flags: aws_batch::Flags,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    match &args.engine {
        Which::Slurm(args) => {
            let order = Order::on_a_shared_file_system(&args.line, &args.workers)?;
            if !args.workers.dry_run {
                order.check_inputs()?;
            }
            submit(&mut slurm::Slurm::new(&order, &args.flags)?, &order)
        }
        Which::Kubernetes(args) => {
            let order =
                Order::in_containers(&args.line, &args.workers, args.flags.mounts(), args.workers.worker_memory)?;
            submit(&mut kubernetes::Kubernetes::new(&order, &args.flags), &order)
        }
        Which::AwsBatch(args) => {
            let memory = args.workers.worker_memory.or(Some(aws_batch::MEMORY));
            let order = Order::in_containers(&args.line, &args.workers, args.flags.mounts(), memory)?;
            submit(&mut aws_batch::AwsBatch::new(&order, &args.flags)?, &order)
        }
    }
}

/// Submits, and waits unless that is not wanted.
fn submit(engine: &mut dyn Engine, order: &Order) -> Result<()> {
    let flags = order.flags;
    if flags.dry_run {
        if flags.files.is_some() {
            write_files(engine, &order.folder)?;
            print!("{}", dry_run::commands(engine));
        } else {
            print!("{}", dry_run::script(engine, &order.folder));
        }
        return Ok(());
    }
    write_files(engine, &order.folder)?;
    engine.submit()?;
    for line in engine.hints() {
        notice(&line);
    }
    if !flags.detach {
        wait::wait(engine, order)?;
    }
    if flags.json {
        return print_json(&serde_json::json!({
            "engine": engine.name(),
            "jobs": engine.jobs(),
            "output": order.output,
            "complete": !flags.detach,
        }));
    }
    if flags.detach {
        println!("{}: submitted as {}", order.output, engine.jobs().join(", "));
    } else {
        println!("{}: complete", order.output);
    }
    Ok(())
}

/// Writes the scripts or manifests, each whole.
fn write_files(engine: &dyn Engine, folder: &Path) -> Result<()> {
    deep3m_volume::fs::create_dir(folder).into_diagnostic()?;
    for file in engine.files() {
        let path = folder.join(file.name);
        deep3m_volume::fs::write_atomic(&path, file.text.as_bytes()).map_err(SubmitError::from)?;
    }
    Ok(())
}
