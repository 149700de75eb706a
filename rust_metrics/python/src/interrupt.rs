//! Work without the GIL that Ctrl-C can stop.

use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use pyo3::prelude::*;
use training_maps_metrics::{Cancel, Threads};

const POLL: Duration = Duration::from_millis(100);

/// Run `work` on `threads`, GIL released, while this one looks for signals now and then.
///
/// # Errors
/// The signal handler's exception, such as `KeyboardInterrupt`, once `work` has stopped.
pub(crate) fn interruptible<T: Send>(
    py: Python<'_>,
    threads: &Threads,
    work: impl FnOnce(&Cancel) -> T + Send,
) -> PyResult<T> {
    let cancel = Cancel::default();
    py.detach(|| {
        let mut interrupt = None;
        let (sender, receiver) = sync_channel::<()>(1);
        let watched = || {
            let result = work(&cancel);
            drop(sender); // wakes the loop below, which a panic in `work` does too
            result
        };
        let result = threads.run(watched, || {
            while let Err(RecvTimeoutError::Timeout) = receiver.recv_timeout(POLL) {
                if interrupt.is_none() {
                    interrupt = Python::attach(|py| py.check_signals()).err();
                }
                if interrupt.is_some() {
                    cancel.request();
                }
            }
        });
        interrupt.map_or(Ok(result), Err)
    })
}
