//! What people say in an interview: users, actions, a measured service time. It becomes a scenario, so that everything else
//! is estimated, and can be played, as any other.

use sim_core::Span;

use super::{Estimate, Options, Step, estimate};
use crate::scenario::{Diagnostics, Draft, MOST_INSTANCES, NoFiles, Scenario};

/// Hours that the peak lasts.
const PEAK_HOURS: f64 = 1.0;
/// The night's load as a share of the mean, where the peak leaves it that much.
const NIGHT: f64 = 0.25;
/// A day.
const DAY: f64 = 86_400.0;

/// Users and what they do, and what serves them.
#[derive(Clone, Debug, PartialEq)]
pub struct Audience {
    /// Everybody who has an account.
    pub users: f64,
    /// The share of them that comes on a day, 0 to 1.
    pub daily_active: f64,
    /// What each of these does on a day.
    pub actions: f64,
    /// Requests of an action.
    pub requests: f64,
    /// The busiest hour over the mean: 1 to 24.
    pub peak_factor: f64,
    /// CPU time of a request, measured on an idle vCPU.
    pub service_time: Span,
    /// Its coefficient of variation, 0 or more; 1 is exponential.
    pub cv: f64,
    /// What a request waits for beside that: databases, other services; exponential.
    pub wait: Option<Span>,
    /// The runtime, as a scenario has it: `thread-per-request`, `event-loop`, …
    pub runtime: String,
    /// The instance type.
    pub machine: String,
    /// How the balancer picks an instance, as a scenario has it.
    pub balancer: String,
    /// The objective, as a scenario has it: `p95 <= 100ms`. `None` sizes for utilisation or [`Options::wait`].
    pub target: Option<String>,
    /// Availability Zones, 1 or more.
    pub zones: u32,
    /// From launch to serving.
    pub startup: Span,
    /// What an hour of the machine costs, in place of the price book's.
    pub hourly: Option<f64>,
    /// Players or others with an open websocket each.
    pub players: Option<Players>,
}

/// Clients with a connection that stays open.
#[derive(Clone, Debug, PartialEq)]
pub struct Players {
    /// How many at the same time, at the peak.
    pub concurrent: f64,
    /// How long each stays, on average; exponential.
    pub session: Span,
    /// Messages of each in a second, both ways.
    pub messages: f64,
    /// CPU time of a message.
    pub message_time: Span,
    /// Memory of a connection, as a scenario has it: `60 KiB`.
    pub memory: String,
}

/// Why what was said gives no estimate.
#[derive(Debug, thiserror::Error)]
pub enum AudienceError {
    /// A number is out of range.
    #[error("{0}")]
    Range(String),
    /// What it says in a scenario's words is none, such as an instance type that is not in the price book.
    #[error(transparent)]
    Scenario(#[from] Box<Diagnostics>),
}

/// The most zones.
const MOST_ZONES: u32 = 26;

impl Audience {
    /// Estimates it, and gives the scenario that stands for it.
    ///
    /// # Errors
    /// Where a number is out of range, or a word is none of a scenario's.
    pub fn estimate(&self, options: &Options) -> Result<(Scenario, Estimate), AudienceError> {
        self.check().map_err(AudienceError::Range)?;
        let draft = Draft::new("what was said, as a scenario", self.scenario(), &NoFiles);
        let scenario = draft.read().map_err(Box::new)?;
        let mut of = estimate(scenario.plan(), options);
        let mut steps = self.steps();
        steps.extend(of.traffic.into_iter().filter(|step| step.formula.starts_with(['P', 'M'])));
        of.traffic = steps;
        of.assumed.extend(self.assumed());
        Ok((scenario, of))
    }

    fn check(&self) -> Result<(), String> {
        let all = [
            ("the peak factor", self.peak_factor, 1.0, 24.0),
            ("actions of a user", self.actions, 0.0, 1e6),
            ("requests of an action", self.requests, 0.0, 1e6),
            ("zones", f64::from(self.zones), 1.0, f64::from(MOST_ZONES)),
            ("the coefficient of variation", self.cv, 0.0, 100.0),
        ];
        for (name, value, least, most) in all {
            if !(least..=most).contains(&value) {
                return Err(format!("{name} is {value}, and has to be between {least} and {most}"));
            }
        }
        if self.a_day() <= 0.0 && self.players.is_none() {
            return Err(
                "there is no request: users, daily active share, actions and requests have to be above zero"
                    .to_string(),
            );
        }
        if self.service_time.is_zero() {
            return Err(
                "the service time is zero: measure it on an idle vCPU, or guess it, such as 5ms".to_string()
            );
        }
        Ok(())
    }

    /// Requests of a day.
    fn a_day(&self) -> f64 {
        self.users * self.daily_active * self.actions * self.requests
    }

    /// From users to the peak.
    fn steps(&self) -> Vec<Step> {
        let active = self.users * self.daily_active;
        let mean = self.a_day() / DAY;
        let peak = mean * self.peak_factor;
        if self.a_day() <= 0.0 {
            return Vec::new();
        }
        vec![
            Step::new("daily active users", "U₁ = U · d", active, "users", "as stated")
                .term("U", "users", self.users, "")
                .term("d", "of them on a day", 100.0 * self.daily_active, "%"),
            Step::new("requests a day", "N = U₁ · a · q", self.a_day(), "requests", "as stated")
                .term("U₁", "active users", active, "")
                .term("a", "actions of each", self.actions, "")
                .term("q", "requests of an action", self.requests, ""),
            Step::new("mean load", "λ = N / 86 400 s", mean, "requests/s", "").term(
                "N",
                "requests a day",
                self.a_day(),
                "",
            ),
            Step::new(
                "peak",
                "Λ = f · λ",
                peak,
                "requests/s",
                "the busiest hour, in which the load stays at the peak",
            )
            .term("f", "peak factor", self.peak_factor, "")
            .term("λ", "mean load", mean, "/s"),
        ]
    }

    fn assumed(&self) -> Vec<String> {
        let mut all = vec![format!(
            "a day that rises to its peak at noon, stays for an hour and falls again; at night {:.0} % of the mean",
            100.0 * self.night()
        )];
        if self.wait.is_none() {
            all.push("a request waits for nothing but CPU".to_string());
        }
        if self.players.is_some() {
            all.push("as many open connections all day as at the peak".to_string());
        }
        all
    }

    /// The night's load over the mean. With a ramp of `r` hours on each side `24 = 24 l + (f − l)(1 + r)`, and the ramps have
    /// to fit into the day.
    fn night(&self) -> f64 {
        let f = self.peak_factor;
        let longest = (24.0 + PEAK_HOURS) / 2.0; // 1 + r with r of half of what the peak leaves of the day
        let no_ramp = (24.0 - PEAK_HOURS * f) / (24.0 - PEAK_HOURS);
        let all_day = (24.0 - longest * f) / (24.0 - longest);
        NIGHT.max(all_day).min(no_ramp).clamp(0.0, 1.0)
    }

    /// The day in points: rates over seconds.
    fn day(&self) -> String {
        let mean = self.a_day() / DAY;
        let (low, peak) = (mean * self.night(), mean * self.peak_factor);
        if self.peak_factor - self.night() < 1e-9 {
            return format!("{{ constant = \"{mean}/s\" }}");
        }
        let ramp = 24.0 * (mean - low) / (peak - low) - PEAK_HOURS;
        let (from, to) = (12.0 - PEAK_HOURS / 2.0, 12.0 + PEAK_HOURS / 2.0);
        let points =
            [(0.0, low), (from - ramp, low), (from, peak), (to, peak), (to + ramp, low), (24.0, low)];
        let at = points.map(|(hours, rate)| {
            format!("[\"{}\", \"{rate}/s\"]", Span::from_secs_f64((hours * 3_600.0f64).max(0.0)))
        });
        format!("{{ points = {{ at = [{}] }} }}", at.join(", "))
    }

    /// The scenario that stands for it.
    pub fn scenario(&self) -> String {
        let mut text = String::from(
            "# Written by `scalesim estimate`.\n\n[scenario]\nname = \"Estimate\"\nduration = \"24h\"\n",
        );
        if self.a_day() > 0.0 {
            let profile = self.day();
            text +=
                &format!("\n[traffic.users]\nto = \"front\"\nprofile = {profile}\nmix = {{ request = 1 }}\n");
        }
        text += &self.service();
        if let Some(players) = &self.players {
            text += &players.scenario();
        }
        text += &self.fleet();
        if let Some(target) = &self.target {
            let target = quoted(target);
            text +=
                &format!("\n[[sla]]\nname = \"requests\"\nendpoint = \"request\"\nobjective = {target}\n");
        }
        text
    }

    /// What a request does.
    fn service(&self) -> String {
        let time = self.service_time;
        let law = if self.cv == 0.0 {
            format!("\"{time}\"")
        } else if self.cv == 1.0 {
            format!("{{ exp = {{ mean = \"{time}\" }} }}")
        } else {
            format!("{{ lognormal = {{ mean = \"{time}\", cv = {:?} }} }}", self.cv)
        };
        let wait = self
            .wait
            .map_or(String::new(), |wait| format!(", {{ wait = {{ exp = {{ mean = \"{wait}\" }} }} }}"));
        let runtime = quoted(&self.runtime);
        // A measured service time has the overhead in it.
        format!(
            "\n[service.app]\nruntime = {{ {runtime} = {{ overhead = \"0s\" }} }}\n\
             endpoint.request = {{ steps = [{{ cpu = {law} }}{wait}] }}\n"
        )
    }

    /// The group, its machine and the balancer.
    fn fleet(&self) -> String {
        let zones: Vec<String> = (0..self.zones.min(MOST_ZONES))
            .map(|zone| format!("\"{}\"", char::from(b'a' + zone as u8)))
            .collect();
        let (zones, machine, balancer) = (zones.join(", "), quoted(&self.machine), quoted(&self.balancer));
        // Sessions that are open already need a place in the fleet that is being asked for.
        let desired = self.players.as_ref().map_or(1, |_| MOST_INSTANCES);
        let mut text = format!(
            "\n[group.app]\nservice = \"app\"\nmachine = {machine}\nzones = [{zones}]\nmin = 1\n\
             desired = {desired}\nmax = {MOST_INSTANCES}\nmonitoring = \"detailed\"\n\
             startup = {{ provision = \"{}\", boot = \"0s\", app = \"0s\" }}\n",
            self.startup
        );
        if let Some(hourly) = self.hourly {
            text += &format!("\n[machine.{machine}]\nlike = {machine}\nhourly = {hourly:?}\n");
        }
        text += &format!("\n[balancer.front]\ntargets = \"app\"\nalgorithm = {balancer}\n");
        text
    }
}

impl Players {
    /// What a message does, and who sends them; follows the service.
    fn scenario(&self) -> String {
        let rate = self.concurrent / self.session.as_secs_f64().max(1e-9);
        format!(
            "endpoint.message = {{ steps = [{{ cpu = {{ exp = {{ mean = \"{}\" }} }} }}] }}\n\
             memory = {{ process = \"100 MiB\", request = \"100 KiB\", connection = {} }}\n\
             \n[traffic.players]\nto = \"front\"\nprofile = {{ constant = \"{rate}/s\" }}\nmix = {{ request = 1 }}\n\
             [traffic.players.sessions]\nlength = {{ exp = {{ mean = \"{}\" }} }}\nopen = {}\n\
             messages = {{ message = \"{}/s\" }}\n",
            self.message_time,
            quoted(&self.memory),
            self.session,
            self.concurrent.round(),
            self.messages
        )
    }
}

/// As a string of TOML, whatever is in it.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_string()).to_string()
}
