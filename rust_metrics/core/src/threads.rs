//! Threads that outlast a call.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::error::Error;
use crate::linalg::blas::prepare_thread;

/// Threads that nobody uses at the moment, and the process that made them.
static IDLE: Mutex<Option<(u32, Threads)>> = Mutex::new(None);

/// Threads for the calls of this crate.
///
/// To start threads and warm their buffers takes longer than the metrics of a small network do, so
/// those that were last let go are kept, and [`Threads::new`] gives them out again if their number
/// fits. This is not rayon's global pool, which has one size and does not survive a fork: its
/// threads stay behind in the parent, and the child would wait for them for ever.
pub struct Threads {
    /// None once it has been let go.
    pool: Option<ThreadPool>,
    count: usize,
}

impl Threads {
    /// So many threads, for this caller alone until they are dropped.
    ///
    /// # Errors
    /// [`Error::Argument`] for none, or if the operating system refuses.
    pub fn new(count: usize) -> Result<Threads, Error> {
        let refuse = |reason: String| Error::Argument { name: "threads".to_owned(), reason };
        if count == 0 {
            return Err(refuse("expected at least 1".to_owned()));
        }
        match idle().take() {
            Some((process, threads)) if process != std::process::id() => threads.forget(),
            Some((_, threads)) if threads.count == count => return Ok(threads),
            Some((_, threads)) => threads.stop(),
            None => {}
        }
        let pool = ThreadPoolBuilder::new()
            .num_threads(count)
            .start_handler(|_| prepare_thread())
            .thread_name(|i| format!("metrics-{i}"))
            .build()
            .map_err(|error| refuse(error.to_string()))?;
        Ok(Threads { pool: Some(pool), count })
    }

    /// How many they are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// What `work` returns, which runs on one of them and may spread to the others, while this
    /// thread runs `watch`.
    ///
    /// # Panics
    /// If one of the two does.
    pub fn run<R: Send>(&self, work: impl FnOnce() -> R + Send, watch: impl FnOnce()) -> R {
        let mut result = None;
        self.pool().in_place_scope(|scope| {
            scope.spawn(|_| result = Some(work()));
            watch();
        });
        result.expect("a scope ends when its work is done")
    }

    /// What `work` returns, which may use rayon's parallel iterators.
    pub(crate) fn install<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        self.pool().install(work)
    }

    fn pool(&self) -> &ThreadPool {
        self.pool.as_ref().expect("it is kept until they are dropped")
    }

    /// Let them go for good, without waiting for them: they are in another process.
    fn forget(mut self) {
        std::mem::forget(self.pool.take());
    }

    fn stop(mut self) {
        drop(self.pool.take());
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.take() {
            let threads = Threads { pool: Some(pool), count: self.count };
            if let Some((_, others)) = idle().replace((std::process::id(), threads)) {
                others.stop();
            }
        }
    }
}

impl fmt::Debug for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Threads").field("count", &self.count).finish_non_exhaustive()
    }
}

fn idle() -> std::sync::MutexGuard<'static, Option<(u32, Threads)>> {
    // Held for an assignment, which a panic elsewhere leaves whole.
    IDLE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_done_while_another_thread_watches() {
        let threads = Threads::new(3).unwrap();
        assert_eq!(threads.count(), 3);
        let here = std::thread::current().id();
        let (told, hear) = std::sync::mpsc::channel();
        let mut watched = None;
        let worker = threads.run(
            || {
                told.send(rayon::current_num_threads()).unwrap();
                std::thread::current().id()
            },
            || watched = hear.recv().ok(),
        );
        assert_ne!(worker, here);
        assert_eq!(watched, Some(3));
    }

    #[test]
    fn two_callers_at_once_have_threads_of_their_own() {
        let (one, other) = (Threads::new(2).unwrap(), Threads::new(2).unwrap());
        let of = |threads: &Threads| threads.install(|| std::thread::current().id());
        assert_ne!(of(&one), of(&other));
    }

    #[test]
    fn none_are_refused() {
        assert!(matches!(Threads::new(0), Err(Error::Argument { .. })));
    }
}
