//! What a lab's process reports to whoever started it: a service manager, or `egret up -d`. The
//! messages are those of sd_notify(3), and without `NOTIFY_SOCKET` nothing is sent.
//!
//! A failure to send is ignored: the lab does not depend on its observer. Sending waits while the
//! observer is stopped and its queue is full.

use sd_notify::NotifyState;

/// The field with the output that `egret up -d` prints, as a JSON string.
const OUTPUT: &str = "X_EGRET_OUTPUT";

/// A message from a lab's process.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Message {
    /// Whether the lab is ready.
    pub(super) is_ready: bool,
    /// The present step.
    pub(super) status: Option<String>,
    /// The text for standard output.
    pub(super) output: Option<String>,
}

impl Message {
    /// Reads a datagram. Fields with other names are ignored.
    pub(super) fn read(datagram: &[u8]) -> Self {
        let text = String::from_utf8_lossy(datagram);
        let mut message = Self::default();
        for (key, value) in text.lines().filter_map(|line| line.split_once('=')) {
            match key {
                "READY" => message.is_ready = value == "1",
                "STATUS" => message.status = Some(value.to_owned()),
                OUTPUT => message.output = serde_json::from_str(value).ok(),
                _ => {}
            }
        }
        message
    }
}

/// Reports a step.
pub(super) fn status(step: &str) {
    send(&[NotifyState::Status(first_line(step))]);
}

/// Reports that the lab is ready; `output` is for the command that started it in the background.
pub(super) fn ready(output: Option<&[u8]>) {
    let up = [NotifyState::Ready, NotifyState::Status("up")];
    let text = output.map(String::from_utf8_lossy);
    let Some(Ok(text)) = text.map(|text| serde_json::to_string(&text)) else { return send(&up) };
    let text = format!("{OUTPUT}={text}");
    let [ready, status] = up;
    send(&[ready, status, NotifyState::Custom(&text)]);
}

/// Reports that the lab reads its file again. [`reloaded`] must follow.
pub(super) fn reloading() {
    let now = NotifyState::monotonic_usec_now().ok();
    let states: Vec<NotifyState<'_>> = [NotifyState::Reloading].into_iter().chain(now).collect();
    send(&states);
}

/// Reports the outcome of a reload.
pub(super) fn reloaded(outcome: &str) {
    send(&[NotifyState::Ready, NotifyState::Status(first_line(outcome))]);
}

/// Reports that the lab is being taken down.
pub(super) fn stopping() {
    send(&[NotifyState::Stopping, NotifyState::Status("ending")]);
}

fn send(states: &[NotifyState<'_>]) {
    let _ = sd_notify::notify(states);
}

/// A field of a message ends with its line.
fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_a_message_are_read_and_unknown_ones_are_not() {
        let read =
            Message::read(b"READY=1\nSTATUS=up\nX_EGRET_OUTPUT=\"a\\nb\\n\"\nMAINPID=1\n\xff\n");
        let output = Some("a\nb\n".to_owned());
        assert_eq!(read, Message { is_ready: true, status: Some("up".to_owned()), output });
        assert_eq!(Message::read(b"READY=0\nnothing\n"), Message::default());
    }

    #[test]
    fn status_is_one_line_whatever_the_step_says() {
        assert_eq!(first_line("a\nREADY=1"), "a");
        assert_eq!(first_line(""), "");
    }
}
