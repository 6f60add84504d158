//! The decision log: each core fills its own Arrow builders, one thread writes, another one compresses.
//!
//! | file | is |
//! | --- | --- |
//! | `writer` | the thread that appends batches to the open segment and rotates it |
//! | `segment` | the open segment: an Arrow IPC stream that survives `kill -9` |
//! | `archive` | the thread that rewrites closed and left-over segments as Parquet |
//! | `complaint` | one line in the process log every few seconds, however often the disk fails |
//!
//! A request never waits for the disk: batches go through a bounded queue, and where that is full the rows are
//! dropped and counted. Rejected: Parquet from the start (its footer comes last, so a killed process leaves
//! nothing that can be read) and one file a core (eight cores, eight small files a minute, for no reader's good).

mod archive;
mod complaint;
mod segment;
mod writer;

use crate::config::LogConfig;
use crate::error::ProxyError;
use crate::metrics::{CoreMetrics, Counter, LogMetrics};
use arrow::array::RecordBatch;
use std::sync::Arc;
use std::sync::mpsc::{self, SyncSender, TrySendError};
use std::thread::JoinHandle;
use std::time::Duration;
use tailcast_features::log::{LogBatch, LogRow};

/// Rows of a batch: at 36 K requests a second a batch every 60 ms; below that the time decides.
const BATCH_ROWS: usize = 2_048;

/// Workers hand over what they have this often. With the write that follows at once, a killed process loses less
/// than a second.
pub(crate) const FLUSH_EVERY: Duration = Duration::from_millis(500);

/// Batches that wait for the disk: some seconds at full rate, at most about 128 MiB.
const QUEUE_BATCHES: usize = 128;

/// To the writer's thread.
pub(crate) enum Message {
    /// Rows to append.
    Batch(RecordBatch),
    /// Close the segment now; answered when it is Parquet, or cannot be.
    Rotate(mpsc::Sender<()>),
}

/// One core's side of the log.
#[derive(Debug)]
pub(crate) struct CoreRecorder {
    sink: Option<Sink>,
}

#[derive(Debug)]
struct Sink {
    batch: LogBatch,
    queue: SyncSender<Message>,
    metrics: Arc<CoreMetrics>,
}

impl CoreRecorder {
    /// A recorder that drops every row: no log is configured.
    pub(crate) fn disabled() -> Self {
        Self { sink: None }
    }

    /// Adds a row; hands the batch over where it is full.
    pub(crate) fn record(&mut self, row: &LogRow<'_>) {
        let Some(sink) = &mut self.sink else { return };
        sink.batch.append(row);
        if sink.batch.len() >= BATCH_ROWS {
            sink.flush();
        }
    }

    /// Hands the rows so far over.
    pub(crate) fn flush(&mut self) {
        if let Some(sink) = &mut self.sink {
            sink.flush();
        }
    }
}

impl Sink {
    fn flush(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let rows = self.batch.len() as u64;
        let overflow: &Counter = &self.metrics.log_overflow;
        match self.batch.finish() {
            Ok(batch) => match self.queue.try_send(Message::Batch(batch)) {
                Ok(()) => {}
                Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => overflow.add(rows),
            },
            Err(error) => {
                overflow.add(rows);
                tracing::error!(%error, "a batch of the decision log is not valid");
            }
        }
    }
}

/// The threads of the log. They end when every core's recorder and this are gone.
#[derive(Debug)]
pub(crate) struct Recorder {
    queue: SyncSender<Message>,
    writer: JoinHandle<()>,
}

impl Recorder {
    /// Starts the threads. A directory that cannot be used is no error here: it is tried again while rows are
    /// dropped and counted, because the log must never keep traffic from flowing.
    pub(crate) fn start(config: &LogConfig, start_us: i64, metrics: Arc<LogMetrics>) -> Result<Self, ProxyError> {
        let (queue, messages) = mpsc::sync_channel(QUEUE_BATCHES);
        let writer = writer::Writer::new(config.clone(), start_us, metrics)?;
        let writer = std::thread::Builder::new()
            .name("tailcast-log".into())
            .spawn(move || writer.run(&messages))
            .map_err(|source| ProxyError::Start { what: "the log's writer", source })?;
        Ok(Self { queue, writer })
    }

    /// A recorder for one core.
    pub(crate) fn core(&self, metrics: Arc<CoreMetrics>) -> CoreRecorder {
        let batch = LogBatch::with_capacity(BATCH_ROWS);
        CoreRecorder { sink: Some(Sink { batch, queue: self.queue.clone(), metrics }) }
    }

    /// Closes the open segment and waits until it is Parquet, or cannot be.
    pub(crate) fn rotate(&self) {
        let (done, wait) = mpsc::channel();
        if self.queue.send(Message::Rotate(done)).is_ok() {
            // An error means that the other side is gone, and so is what was waited for.
            let _ = wait.recv();
        }
    }

    /// Writes what is queued, closes the segment and ends the threads. All cores' recorders must be gone.
    pub(crate) fn finish(self) {
        drop(self.queue);
        if self.writer.join().is_err() {
            tracing::error!("the log's writer panicked");
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use crate::metrics::Metrics;
    use tailcast_features::{FEATURE_COUNT, OutcomeKind};

    /// A row for tests of the log.
    pub(crate) fn row(request_id: u64) -> LogRow<'static> {
        static FEATURES: [f32; FEATURE_COUNT] = [0.5; FEATURE_COUNT];
        LogRow {
            arrival_us: 1,
            request_id,
            pool: "web",
            tenant: "acme",
            route: "/",
            method: "GET",
            policy: "random",
            reason: "chance",
            model: "",
            endpoint: "a",
            propensity: 1.0,
            epsilon: 0.0,
            candidates: &[],
            features: &FEATURES,
            candidate_features: None,
            outcome: OutcomeKind::Success,
            status: 200,
            latency_us: 1,
            first_byte_us: 1,
            request_bytes: 0,
            response_bytes: 0,
            attempts: 1,
        }
    }

    /// A batch of rows with these ids.
    pub(crate) fn batch(ids: std::ops::Range<u64>) -> RecordBatch {
        let mut batch = LogBatch::with_capacity(8);
        ids.for_each(|id| batch.append(&row(id)));
        batch.finish().unwrap()
    }

    #[test]
    fn a_full_queue_drops_rows_counts_them_and_does_not_wait() {
        let (queue, messages) = mpsc::sync_channel(1);
        let metrics = Metrics::new(1);
        let sink = Sink { batch: LogBatch::with_capacity(8), queue, metrics: Arc::clone(&metrics.cores[0]) };
        let mut recorder = CoreRecorder { sink: Some(sink) };
        for id in 0..3 {
            recorder.record(&row(id));
            recorder.flush();
        }
        assert_eq!(metrics.snapshot().log_dropped_rows, 2);
        assert!(matches!(messages.try_recv(), Ok(Message::Batch(batch)) if batch.num_rows() == 1));
    }

    #[test]
    fn a_full_batch_is_handed_over_without_waiting_for_the_time() {
        let (queue, messages) = mpsc::sync_channel(4);
        let metrics = Metrics::new(1);
        let sink = Sink { batch: LogBatch::with_capacity(8), queue, metrics: Arc::clone(&metrics.cores[0]) };
        let mut recorder = CoreRecorder { sink: Some(sink) };
        (0..BATCH_ROWS as u64).for_each(|id| recorder.record(&row(id)));
        assert!(matches!(messages.try_recv(), Ok(Message::Batch(batch)) if batch.num_rows() == BATCH_ROWS));
    }
}
