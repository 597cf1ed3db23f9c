//! The streams that --create-stream creates.

use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::context::GetStreamByNameErrorKind as Missing;
use async_nats::jetstream::stream::{Config, DiscardPolicy};
use tracing::info;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long the stream of states keeps a state that is not published again.
const STATE_AGE: Duration = DAY.saturating_mul(3);

/// Creates the streams of the transitions and of the states, unless streams store them already.
pub(crate) async fn create(context: &Context) -> Result<(), String> {
    let base = Config {
        // A server may refuse what it does not know.
        allow_batch_publish: context.client().is_server_compatible(2, 14, 0),
        discard: DiscardPolicy::Old,
        // Messages that are sent again after this time are stored again.
        duplicate_window: Duration::from_secs(120),
        ..Config::default()
    };
    let events = Config {
        name: "VARTA_EVENT".to_owned(),
        subjects: vec!["varta.event.>".to_owned()],
        max_age: 30 * DAY,
        max_bytes: 1 << 30,
        ..base.clone()
    };
    let states = Config {
        name: "VARTA_STATE".to_owned(),
        subjects: vec!["varta.state.>".to_owned()],
        max_age: STATE_AGE,
        max_messages_per_subject: 1,
        ..base
    };
    for config in [events, states] {
        let subject = config.subjects.join(" ");
        let name = config.name.clone();
        // A stream with another name may store the subject.
        match context.stream_by_subject(subject.clone()).await {
            Ok(_) => continue,
            Err(error) if error.kind() == Missing::NotFound => {}
            Err(error) => {
                return Err(format!("cannot look up the stream of {subject}: {error}"));
            }
        }
        let failed = |error| format!("cannot create the stream {name}: {error}");
        context.create_stream(config).await.map_err(failed)?;
        info!("created the stream {name} for {subject}");
    }
    Ok(())
}
