//! The native module `varta._varta`. Users import the package around it, which is in
//! `python/varta`.

mod agent;
mod causes;
mod codec;
mod convert;
mod errors;
mod event;
mod guard;
mod labels;
mod last_words;
mod observer;
mod reading;
mod secure;
mod settings;
mod simulated;
mod simulated_page;
mod span;
mod sys;
mod task;
mod task_options;
mod values;
mod wait;

use pyo3::prelude::*;

/// The module relies on the interpreter's lock and declares that: a free-threaded interpreter
/// enables the lock when it imports it.
///
/// This is a function, not a declarative module, because its first steps must precede the
/// creation of any class.
#[pymodule(gil_used = true)]
fn _varta(module: &Bound<'_, PyModule>) -> PyResult<()> {
    sys::require_main_interpreter(module.py())?;
    sys::require_lock(module.py())?;
    module.add_class::<agent::Agent>()?;
    module.add_class::<codec::Frame>()?;
    module.add_class::<codec::FrameV1>()?;
    module.add_class::<event::AgentEvent>()?;
    module.add_class::<event::AuthFailure>()?;
    module.add_class::<event::Beat>()?;
    module.add_class::<event::Declared>()?;
    module.add_class::<event::Decode>()?;
    module.add_class::<event::Ended>()?;
    module.add_class::<event::Event>()?;
    module.add_class::<event::Exit>()?;
    module.add_class::<event::Io>()?;
    module.add_class::<event::Paused>()?;
    module.add_class::<event::Recovered>()?;
    module.add_class::<event::Stall>()?;
    module.add_class::<event::Violation>()?;
    module.add_class::<event::Cause>()?;
    module.add_class::<last_words::LastWords>()?;
    module.add_class::<observer::Observer>()?;
    module.add_class::<secure::Cipher>()?;
    module.add_class::<simulated::Simulated>()?;
    module.add_class::<simulated_page::SimulatedPage>()?;
    module.add_class::<span::Idle>()?;
    module.add_class::<span::Span>()?;
    module.add_class::<task::Task>()?;
    sys::quicken::<agent::Agent>(module.py())?;
    sys::quicken::<task::Task>(module.py())?;
    module.add_function(wrap_pyfunction!(codec::crc32c, module)?)?;
    module.add_function(wrap_pyfunction!(guard::provoke_panic, module)?)?;
    module.add_function(wrap_pyfunction!(secure::derive_agent_key, module)?)?;
    module.add_function(wrap_pyfunction!(secure::derive_iv_prefix, module)?)?;
    module.add_function(wrap_pyfunction!(values::classify_errno, module)?)
}
