//! Measures varta beside a bare send, its observer beside a bare receive, and both beside
//! their neighbours, all in one run.

mod agent;
mod bare;
mod c_abi;
mod cold;
mod cost;
mod detection;
mod machine;
mod measure;
mod processes;
mod receiver;
mod receiving;
mod report;
mod scale;
mod size;
mod stage;
mod sys;
mod tracker;
mod wire;

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use machine::Machine;
use measure::{Group, Plan};
use report::{Figure, Findings, Report};
use stage::Stage;

const HELP: &str = "\
Measures varta beside a bare send, its observer beside a bare receive, and both
beside their neighbours.

Usage: varta-bench [--quick] [--json FILE] [--only NAME]

  --quick      a minute, with more noise
  --json FILE  also write what was found to FILE
  --only NAME  only what has NAME in its name
  --help       this text

";

/// What is measured: times side by side, figures, or both.
enum What {
    Times(fn(Plan, &Stage) -> io::Result<Group>),
    Figures(fn(&Stage) -> io::Result<Vec<Figure>>),
    Both(fn(Plan, &Stage) -> io::Result<Findings>),
}

const BENCHES: &[(&str, What)] = &[
    // First, while no handle has been made yet.
    ("bytes-of-handles", What::Figures(cost::handles)),
    ("bytes-of-code", What::Figures(|_| size::code())),
    ("beat-uds", What::Times(agent::uds)),
    ("beat-uds-queue-full", What::Times(agent::queue_full)),
    ("beat-uds-observer-gone", What::Times(agent::observer_gone)),
    ("beat-udp", What::Times(agent::udp)),
    ("beat-secure-udp", What::Times(agent::secure_udp)),
    ("seal", What::Times(wire::seal)),
    ("encode", What::Times(wire::encode)),
    ("from-c", What::Both(c_abi::all)),
    ("cold-1-ms", What::Times(cold::after_1_ms)),
    ("cold-10-ms", What::Times(cold::after_10_ms)),
    ("connect-uds", What::Times(cost::connect_uds)),
    ("connect-secure-udp", What::Times(cost::connect_secure_udp)),
    ("tracker", What::Both(tracker::all)),
    ("receive-flood", What::Both(receiving::floods)),
    ("receive-drained", What::Both(receiving::drained)),
    ("receive-agents", What::Both(receiving::by_agents)),
    ("detect-stall", What::Both(detection::stalls)),
    ("detect-exit", What::Both(detection::exits)),
    ("quiet", What::Both(detection::quiet)),
    ("scale", What::Both(scale::all)),
];

#[derive(Default)]
struct Arguments {
    quick: bool,
    json: Option<PathBuf>,
    only: String,
    help: bool,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let result = if arguments.next().is_some_and(|first| first == receiver::ARGUMENT) {
        receiver::run(&arguments.collect::<Vec<_>>())
    } else {
        parse(lexopt::Parser::from_env()).map_err(io::Error::other).and_then(run)
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "varta-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse(mut parser: lexopt::Parser) -> Result<Arguments, lexopt::Error> {
    use lexopt::{Arg::Long, ValueExt};

    let mut arguments = Arguments::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("quick") => arguments.quick = true,
            Long("json") => arguments.json = Some(parser.value()?.into()),
            Long("only") => arguments.only = parser.value()?.string()?,
            Long("help") => arguments.help = true,
            unknown => return Err(unknown.unexpected()),
        }
    }
    Ok(arguments)
}

fn run(arguments: Arguments) -> io::Result<()> {
    if arguments.help {
        let names: Vec<_> = BENCHES.iter().map(|(name, _)| *name).collect();
        return writeln!(io::stdout(), "{HELP}Names: {}", names.join(", "));
    }
    if !BENCHES.iter().any(|(name, _)| name.contains(&arguments.only)) {
        return Err(io::Error::other(format!(
            "nothing is called {:?}; see --help",
            arguments.only
        )));
    }
    let (seconds, set_ups) = if arguments.quick { (2, 10) } else { (12, 40) };
    let plan = Plan {
        budget: Duration::from_secs(seconds),
        set_ups,
        block: 64,
        each: 1,
        gap: Duration::ZERO,
    };
    processes::raise_limits();
    let stage = Stage::new()?;
    let mut report = Report {
        machine: Machine::this(&stage),
        targets: [
            agent::TARGETS,
            c_abi::TARGETS,
            wire::TARGETS,
            tracker::TARGETS,
            receiving::TARGETS,
            detection::TARGETS,
        ]
        .concat(),
        groups: Vec::new(),
        figures: Vec::new(),
    };
    for (name, what) in BENCHES {
        if !name.contains(&arguments.only) {
            continue;
        }
        let begun = Instant::now();
        match what {
            What::Times(bench) => report.groups.push(bench(plan, &stage)?),
            What::Figures(bench) => report.figures.append(&mut bench(&stage)?),
            What::Both(bench) => {
                let (mut groups, mut figures) = bench(plan, &stage)?;
                report.groups.append(&mut groups);
                report.figures.append(&mut figures);
            }
        }
        writeln!(io::stderr(), "{name}: {:.1} s", begun.elapsed().as_secs_f64())?;
    }
    writeln!(io::stdout(), "{}", report.to_text())?;
    if let Some(path) = &arguments.json {
        fs::write(path, format!("{:#}\n", report.to_json()))?;
    }
    Ok(())
}
