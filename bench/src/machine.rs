//! The machine that figures were measured on.

use std::fs;

use serde_json::{Value, json};

use crate::stage::Stage;

pub(crate) struct Machine {
    cpu: String,
    cpus: usize,
    kernel: String,
    places: String,
}

impl Machine {
    pub(crate) fn this(stage: &Stage) -> Self {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let cpu = info
            .lines()
            .find_map(|line| line.strip_prefix("model name"))
            .map_or("unknown", |rest| rest.trim_start_matches([' ', '\t', ':']));
        let places = if stage.sender_cpu == stage.receiver_cpu {
            "sender and receiver share one CPU, which distorts what is sent".to_owned()
        } else {
            format!(
                "sender on CPU {}, receiver on CPU {}",
                stage.sender_cpu, stage.receiver_cpu
            )
        };
        Self {
            cpu: cpu.to_owned(),
            cpus: info.lines().filter(|line| line.starts_with("processor")).count(),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")
                .unwrap_or_default()
                .trim()
                .to_owned(),
            places,
        }
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "cpu": self.cpu,
            "cpus": self.cpus,
            "architecture": std::env::consts::ARCH,
            "kernel": self.kernel,
            "rustc": env!("RUSTC_VERSION"),
            "places": self.places,
        })
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (cpu, cpus, kernel) = (&self.cpu, self.cpus, &self.kernel);
        writeln!(f, "{cpu}, {cpus} CPUs, {}, kernel {kernel}", std::env::consts::ARCH)?;
        writeln!(f, "{}; {}", env!("RUSTC_VERSION"), self.places)
    }
}
