//! Compares varta with a bare send, its observer with a bare receive, and both with other
//! libraries.

mod agent;
mod bare;
mod c_abi;
mod causes;
mod cold;
mod cost;
mod detection;
mod lane;
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
use std::time::Duration;

use machine::Machine;
use measure::{Group, Plan};
use report::{Figure, Findings, Target};
use stage::Stage;

const HELP: &str = "\
Runs one benchmark in this process and writes its results as JSON.
bench/run runs all benchmarks and writes a report.

Usage: varta-bench --only NAME [--quick] [--json FILE]
       varta-bench --list

  --only NAME  the benchmark
  --quick      a shorter run, with more noise
  --json FILE  write to FILE instead of standard output
  --list       print the names of the benchmarks
  --help       print this text
";

/// A benchmark and its targets.
struct Bench {
    name: &'static str,
    run: Run,
    targets: &'static [Target],
}

/// What a benchmark measures: side-by-side times, figures, or both.
enum Run {
    Times(fn(Plan, &Stage) -> io::Result<Group>),
    Figures(fn(&Stage) -> io::Result<Vec<Figure>>),
    Both(fn(Plan, &Stage) -> io::Result<Findings>),
}

impl Bench {
    const fn new(name: &'static str, run: Run, targets: &'static [Target]) -> Self {
        Self { name, run, targets }
    }

    fn run(&self, plan: Plan, stage: &Stage) -> io::Result<Findings> {
        Ok(match self.run {
            Run::Times(run) => (vec![run(plan, stage)?], Vec::new()),
            Run::Figures(run) => (Vec::new(), run(stage)?),
            Run::Both(run) => run(plan, stage)?,
        })
    }
}

const BENCHES: &[Bench] = &[
    Bench::new("bytes-of-handles", Run::Figures(cost::handles), &[]),
    Bench::new("bytes-of-code", Run::Figures(|_| size::code()), &[]),
    Bench::new("beat-uds", Run::Times(agent::uds), agent::UDS_TARGETS),
    Bench::new("beat-uds-queue-full", Run::Times(agent::queue_full), agent::QUEUE_FULL_TARGETS),
    Bench::new(
        "beat-uds-observer-gone",
        Run::Times(agent::observer_gone),
        agent::OBSERVER_GONE_TARGETS,
    ),
    Bench::new("beat-udp", Run::Times(agent::udp), agent::UDP_TARGETS),
    Bench::new("beat-secure-udp", Run::Times(agent::secure_udp), agent::SECURE_UDP_TARGETS),
    Bench::new("seal", Run::Times(wire::seal), wire::SEAL_TARGETS),
    Bench::new("encode", Run::Times(wire::encode), wire::ENCODE_TARGETS),
    Bench::new("from-c", Run::Both(c_abi::all), c_abi::TARGETS),
    Bench::new("cold-1-ms", Run::Times(cold::after_1_ms), &[]),
    Bench::new("cold-10-ms", Run::Times(cold::after_10_ms), &[]),
    Bench::new("connect-uds", Run::Times(cost::connect_uds), &[]),
    Bench::new("connect-secure-udp", Run::Times(cost::connect_secure_udp), &[]),
    Bench::new("tracker", Run::Both(tracker::all), tracker::TARGETS),
    Bench::new("receive-flood", Run::Both(receiving::floods), receiving::FLOOD_TARGETS),
    Bench::new("receive-drained", Run::Both(receiving::drained), receiving::DRAINED_TARGETS),
    Bench::new("receive-agents", Run::Both(receiving::by_agents), receiving::AGENTS_TARGETS),
    Bench::new("detect-stall", Run::Both(detection::stalls), detection::STALL_TARGETS),
    Bench::new("detect-exit", Run::Both(detection::exits), detection::EXIT_TARGETS),
    Bench::new("causes", Run::Both(causes::alone), causes::TARGETS),
    Bench::new("causes-crowd", Run::Figures(causes::crowd), &[]),
    Bench::new("quiet", Run::Both(detection::quiet), &[]),
    Bench::new("scale", Run::Both(scale::all), &[]),
    Bench::new("lane-beat", Run::Times(lane::hot), lane::HOT_TARGETS),
    Bench::new("lane-cold-1-ms", Run::Times(lane::cold_after_1_ms), lane::COLD_TARGETS[0]),
    Bench::new("lane-cold-10-ms", Run::Times(lane::cold_after_10_ms), lane::COLD_TARGETS[1]),
    Bench::new("lane-attach", Run::Both(lane::attach), lane::ATTACH_TARGETS),
    Bench::new("lane-look", Run::Both(lane::look), &[]),
    Bench::new("lane-crowd", Run::Both(lane::crowd), &[]),
    Bench::new("lane-hostile", Run::Both(lane::hostile), &[]),
    Bench::new("lane-stall", Run::Both(lane::late), lane::LATE_TARGETS),
];

#[derive(Default)]
struct Arguments {
    quick: bool,
    json: Option<PathBuf>,
    only: Option<String>,
    list: bool,
    help: bool,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let result = if arguments.next().is_some_and(|first| first == receiver::ARGUMENT) {
        receiver::run(&arguments.collect::<Vec<_>>())
    } else {
        parse(lexopt::Parser::from_env()).map_err(io::Error::other).and_then(|it| run(&it))
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
            Long("only") => arguments.only = Some(parser.value()?.string()?),
            Long("list") => arguments.list = true,
            Long("help") => arguments.help = true,
            unknown => return Err(unknown.unexpected()),
        }
    }
    Ok(arguments)
}

fn run(arguments: &Arguments) -> io::Result<()> {
    if arguments.help {
        return write!(io::stdout(), "{HELP}");
    }
    if arguments.list {
        return BENCHES.iter().try_for_each(|bench| writeln!(io::stdout(), "{}", bench.name));
    }
    let only = arguments.only.as_deref().unwrap_or_default();
    let bench = BENCHES.iter().find(|bench| bench.name == only).ok_or_else(|| {
        io::Error::other(format!("--only {only:?} is not the name of a benchmark; see --list"))
    })?;
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
    let findings = bench.run(plan, &stage)?;
    let found = report::to_json(&Machine::this(&stage), bench.targets, &findings);
    match &arguments.json {
        Some(path) => fs::write(path, format!("{found:#}\n")),
        None => writeln!(io::stdout(), "{found:#}"),
    }
}
