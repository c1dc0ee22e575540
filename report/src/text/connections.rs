//! What became of clients' connections.

use super::{Summary, count, percent, short};

impl Summary<'_> {
    pub(super) fn connections(&mut self) {
        let run = self.run;
        for part in &run.traffic {
            let Some(seen) = &part.connections else { continue };
            let failed = match seen.failed {
                0 => String::new(),
                failed => format!(", {} of which did not come about", count(failed as f64)),
            };
            self.page.line(format!(
                "  clients of {} opened {} connections{failed}; {} requests each, {} open on average",
                part.name,
                count(seen.opened as f64),
                short(seen.requests_each),
                short(seen.open_mean)
            ));
            if seen.waited > 0 {
                let share = percent(seen.waited as f64, part.requests.attempts as f64);
                self.page.line(format!("    {share} waited for a connection"));
            }
        }
    }
}
