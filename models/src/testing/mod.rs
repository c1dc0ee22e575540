//! Assertions for tests: what a run found, asked for by name, with a failure that says why.
//!
//! ```
//! use scalesim::Scenario;
//! # let text = r#"
//! #     [scenario]
//! #     duration = "10min"
//! #     [traffic.web]
//! #     to = "front"
//! #     profile = { constant = "50/s" }
//! #     [service.api]
//! #     runtime = "thread-per-request"
//! #     [service.api.endpoint."GET /"]
//! #     steps = [{ cpu = "10ms" }]
//! #     [group.web]
//! #     service = "api"
//! #     machine = "c6i.large"
//! #     min = 1
//! #     [balancer.front]
//! #     targets = "web"
//! #     [[sla]]
//! #     name = "home page is fast"
//! #     endpoint = "GET /"
//! #     objective = "p99 <= 100ms"
//! #     [cost]
//! #     prices = "aws-us-east-1"
//! # "#;
//! let results = Scenario::parse(text)?.run();
//! results.sla("home page is fast").assert_met();
//! results.response_time("GET /").p95().assert_below("50ms");
//! results.availability().assert_at_least("99.9%");
//! results.cost().assert_at_most(0.25);
//! results.figure("web: CPU").assert_below("40%");
//! # Ok::<(), scalesim::Diagnostics>(())
//! ```
//!
//! Bounds are written as scenarios write them. With several [replications](crate::Experiment::replications) each one has to hold
//! the bound, as each has to keep its promises for [`Results::met`] to be true; a failure says in how many it did. A run that was cut short
//! (a limit, an interrupt) holds nothing.
//!
//! # Panics
//! What begins with `assert_`, and what looks something up by a name that is not there: that is how a test fails. The
//! panic is at the line of the test. `find_sla` and `find_figure` do not panic, nor does anything else of this library.

mod bound;
mod lookup;
mod measured;
mod sla;
mod tell;
#[cfg(feature = "proptest")]
pub mod vary;

pub use bound::Bound;
pub use lookup::NotFound;
pub use measured::{Jobs, Measured, Times};
pub use sla::Sla;

use crate::results::Results;

/// Assertions on results; see [`testing`](self).
impl Results {
    /// An objective.
    ///
    /// # Panics
    /// Where no objective, or more than one, has that name.
    #[track_caller]
    pub fn sla(&self, name: &str) -> Sla<'_> {
        match self.find_sla(name) {
            Ok(sla) => sla,
            Err(why) => panic!("{why}"),
        }
    }

    /// An objective.
    ///
    /// # Errors
    /// Where no objective, or more than one, has that name; with the name that may have been meant.
    pub fn find_sla(&self, name: &str) -> Result<Sla<'_>, NotFound> {
        let names = self.run.objectives.iter().map(|objective| objective.name.as_str());
        Ok(Sla::new(self, lookup::only("objective", name, names)?))
    }

    /// A figure of the [catalogue](crate::experiment::figures::readings), such as `web: instance hours`.
    ///
    /// # Panics
    /// Where no figure has that name.
    #[track_caller]
    pub fn figure(&self, name: &str) -> Measured<'_> {
        match self.find_figure(name) {
            Ok(figure) => figure,
            Err(why) => panic!("{why}"),
        }
    }

    /// A figure of the [catalogue](crate::experiment::figures::readings).
    ///
    /// # Errors
    /// Where no figure has that name; with the name that may have been meant.
    pub fn find_figure(&self, name: &str) -> Result<Measured<'_>, NotFound> {
        Measured::find(self, name)
    }

    /// Response times as clients saw them, of all requests, from the first attempt to the end.
    pub fn client_response_time(&self) -> Times<'_> {
        Times::new(self, "response time".to_string())
    }

    /// Response times of an endpoint, of each attempt: `GET /`, or `api: GET /` where several services have one.
    ///
    /// # Panics
    /// Where no endpoint, or more than one, has that name.
    #[track_caller]
    pub fn response_time(&self, endpoint: &str) -> Times<'_> {
        let names: Vec<&str> = self.run.endpoints.iter().map(|part| part.name.as_str()).collect();
        match lookup::endpoint(endpoint, &names) {
            Ok(index) => Times::new(self, names[index].to_string()),
            Err(why) => panic!("{why}"),
        }
    }

    /// The share of ended requests that were answered, in percent.
    ///
    /// # Panics
    /// Never, where a scenario was run.
    #[track_caller]
    pub fn availability(&self) -> Measured<'_> {
        self.figure("availability")
    }

    /// The bill's total over the run, in the price book's currency.
    ///
    /// # Panics
    /// Where the scenario has no prices.
    #[track_caller]
    pub fn cost(&self) -> Measured<'_> {
        match self.find_figure("cost") {
            Ok(cost) => cost,
            Err(_) => panic!("there is no bill: the scenario says no `[cost] prices = …`"),
        }
    }

    /// The jobs that a source submits.
    ///
    /// # Panics
    /// Where no source of that name submits jobs.
    #[track_caller]
    pub fn jobs(&self, source: &str) -> Jobs<'_> {
        let names = self.run.jobs.iter().map(|jobs| jobs.name.as_str());
        match lookup::only("source of jobs", source, names) {
            Ok(_) => Jobs::new(self, source),
            Err(why) => panic!("{why}"),
        }
    }

    /// Every objective was kept, in every replication.
    ///
    /// # Panics
    /// Where one was not, where there is none, or where one had nothing to measure.
    #[track_caller]
    pub fn assert_all_met(&self) {
        if self.run.objectives.is_empty() {
            panic!("nothing was promised: the scenario has no `[[sla]]`");
        }
        let all = (0..self.run.objectives.len()).map(|index| Sla::new(self, index));
        let failures: Vec<String> = all.filter_map(Sla::failure).collect();
        if !failures.is_empty() {
            panic!("{}", failures.join("\n\n"));
        }
    }
}
