//! Work without the GIL that Ctrl-C can stop.

use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use pyo3::prelude::*;
use training_maps_metrics::Cancel;

const POLL: Duration = Duration::from_millis(100);

/// Run `work` on a thread of its own, GIL released, while this one looks for signals now and then.
///
/// # Errors
/// The signal handler's exception, such as `KeyboardInterrupt`, once `work` has stopped.
pub(crate) fn interruptible<T: Send>(
    py: Python<'_>,
    work: impl FnOnce(&Cancel) -> T + Send,
) -> PyResult<T> {
    let cancel = Cancel::default();
    py.detach(|| {
        thread::scope(|scope| {
            let (sender, receiver) = sync_channel::<()>(1);
            let worker = scope.spawn(|| {
                let result = work(&cancel);
                drop(sender); // wakes the loop below, which a panic in `work` does too
                result
            });
            let mut interrupt = None;
            while let Err(RecvTimeoutError::Timeout) = receiver.recv_timeout(POLL) {
                if interrupt.is_none() {
                    interrupt = Python::attach(|py| py.check_signals()).err();
                }
                if interrupt.is_some() {
                    cancel.request();
                }
            }
            let result = worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            interrupt.map_or(Ok(result), Err)
        })
    })
}
