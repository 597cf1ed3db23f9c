//! The lane: its messages and lines, and stories of processes that beat through pages.

mod line;
mod message;
mod story;
mod values;

pub(super) use line::{cold, head, hot, info, invalid, place, violation};
pub(super) use message::{message, message_error};
pub(super) use story::lane_story;
