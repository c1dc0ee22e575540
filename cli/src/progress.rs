//! Progress on standard error: how far it has come, and how long it will take.

use std::sync::Mutex;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use scalesim::Progress;
use scalesim::plan::Plan;
use scalesim::results::Widest;
use scalesim_report::{Clock, short};

/// Steps of the bar for one run.
const STEPS: u64 = 10_000;

/// A progress bar over all runs: the replications of a scenario, or of several that have a length in common.
pub struct Bar {
    bar: ProgressBar,
    duration: f64,
    clock: Clock,
    /// Steps and requests of each run.
    done: Mutex<Vec<(u64, u64)>>,
    /// How tight intervals are by now, as it is shown.
    tight: Mutex<String>,
}

impl Bar {
    /// A bar, or nothing where `hidden` or where standard error is no terminal.
    pub fn new(plan: &Plan, runs: usize, hidden: bool) -> Self {
        let bar = ProgressBar::new(STEPS * runs as u64);
        bar.set_draw_target(if hidden { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() });
        if let Ok(style) =
            ProgressStyle::with_template("{bar:28} {percent:>3} %  {msg}  {elapsed} · {eta} left")
        {
            bar.set_style(style.progress_chars("━╸ "));
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        let duration = plan.duration.as_secs_f64();
        let clock = Clock::of(&plan.start.to_string(), duration);
        Bar { bar, duration, clock, done: Mutex::new(vec![(0, 0); runs]), tight: Mutex::default() }
    }

    /// There are so many runs now, for intervals are only so tight.
    pub fn grow(&self, runs: usize, widest: Option<&Widest>) {
        let Ok(mut done) = self.done.lock() else { return };
        let runs = runs.max(done.len());
        done.resize(runs, (0, 0));
        self.bar.set_length(STEPS * runs as u64);
        let tight = widest.and_then(|widest| {
            Some(format!("{} ± {} %, {runs} runs  ", widest.figure, short(100.0 * widest.relative?)))
        });
        if let (Some(told), Ok(mut shown)) = (tight, self.tight.lock()) {
            *shown = told;
        }
    }

    /// A run has come further.
    pub fn update(&self, progress: Progress) {
        let Ok(mut done) = self.done.lock() else { return };
        let now = progress.now.as_secs_f64();
        let steps = if progress.finished { STEPS } else { (now / self.duration * STEPS as f64) as u64 };
        if let Some(own) = done.get_mut(progress.replication) {
            *own = (steps.min(STEPS), progress.requests);
        }
        let requests: u64 = done.iter().map(|own| own.1).sum();
        self.bar.set_position(done.iter().map(|own| own.0).sum());
        let seconds = self.bar.elapsed().as_secs_f64().max(1e-3);
        let million = 1e6;
        let tight = self.tight.lock().map(|tight| tight.clone()).unwrap_or_default();
        self.bar.set_message(format!(
            "{tight}{}  {:.1} M requests, {:.2} M/s",
            self.clock.time(now),
            requests as f64 / million,
            requests as f64 / seconds / million
        ));
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// Progress of something that is measured.
pub struct Spinner {
    bar: ProgressBar,
}

impl Spinner {
    /// A bar, or nothing where `hidden` or where standard error is no terminal.
    pub fn new(hidden: bool) -> Self {
        let bar = ProgressBar::new(STEPS);
        bar.set_draw_target(if hidden { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() });
        if let Ok(style) = ProgressStyle::with_template("{bar:28} {percent:>3} %  {msg}  {elapsed}") {
            bar.set_style(style.progress_chars("━╸ "));
        }
        // No steady tick: drawing would take a vCPU from what is measured.
        Spinner { bar }
    }

    /// So much is done, and this is next.
    pub fn update(&self, share: f64, what: &str) {
        self.bar.set_message(what.to_string());
        self.bar.set_position((share * STEPS as f64) as u64);
        self.bar.tick();
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
