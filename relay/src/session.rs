//! Publishing over one connection.

use tokio::task::yield_now;

use crate::ask::Answers;
use crate::backlog::Backlog;
use crate::connection::Connection;
use crate::new_records::NewRecords;
use crate::sender::Sender;
use crate::streams;

/// Publishes the backlog until the connection fails, and returns why.
pub(crate) async fn run(
    connection: &Connection,
    backlog: &mut Backlog,
    new_records: &mut NewRecords,
    answers: Option<&Answers>,
    (most, create_stream): (usize, bool),
) -> String {
    let mut sender = match Sender::new(&connection.client, most).await {
        Ok(sender) => sender,
        Err(why) => return why,
    };
    if create_stream && let Err(why) = streams::create(sender.context()).await {
        return why;
    }
    let mut requests = match answers {
        Some(answers) => match answers.subscribe(&connection.client).await {
            Ok(requests) => Some(requests),
            Err(why) => return why,
        },
        None => None,
    };
    backlog.send_again();
    // Whether everything that is recorded is sent.
    let mut idle = false;
    loop {
        if !idle {
            idle = match sender.fill(backlog).await {
                Ok(idle) => idle,
                Err(why) => return why,
            };
        }
        tokio::select! {
            biased;
            () = connection.ended() => return "the connection has ended".to_owned(),
            () = backlog.saved() => {}
            request = Answers::next(requests.as_mut()) => match (answers, request) {
                (Some(answers), Some(request)) => answers.answer(&connection.client, request),
                _ => return "the subscription has ended".to_owned(),
            },
            answer = sender.answer() => {
                let taken = match answer {
                    Ok(answer) => sender.take(answer, backlog).await,
                    Err(why) => Err(why),
                };
                if let Err(why) = taken {
                    return why;
                }
                idle &= backlog.is_sent();
            }
            () = new_records.wait(), if idle => idle = false,
            () = yield_now(), if !idle && sender.has_room() => {}
        }
    }
}
