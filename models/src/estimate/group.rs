//! One group: its load at the peak, what one machine can do, and machines by each form.

use serde::Serialize;

use super::course::Course;
use super::forms::machines_of_own_queues;
use super::headroom::{self, Headroom, Question, following, mean_over, with_a_zone_less};
use super::{
    Form, Options, Sized, Step, Target, USUAL_UTILISATION, Work, servers_of_central_queue,
    square_root_staffing,
};
use crate::capacity::Demand;
use crate::oracle::{self, asked_of, expected, instances_for, visit};
use crate::plan::{Group, GroupId, Indicator, Objective, Plan, ProcessKind, Subject};

/// What is estimated of a group.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GroupEstimate {
    /// Its name.
    pub name: String,
    /// The machine it is planned with.
    pub machine: String,
    /// From the load to one machine's capacity.
    pub steps: Vec<Step>,
    /// What the machines are sized for, in words.
    pub target: String,
    /// Machines by each form.
    pub forms: Vec<Sized>,
    /// The form that the answer takes.
    pub taken: Form,
    /// Why that one.
    pub why: String,
    /// Instances that carry the peak within the target; `None` where no number is enough.
    pub instances: Option<u32>,
    /// What more is needed, and why.
    pub headroom: Option<Headroom>,
    /// Instances of a fleet that follows the day with the same headroom, on average over the run.
    pub following: Option<f64>,
    /// An hour of one, in the currency of the prices.
    pub hourly: Option<f64>,
}

/// A group while it is estimated.
struct Sizing<'a> {
    plan: &'a Plan,
    id: GroupId,
    group: &'a Group,
    demand: Demand,
    /// Servers of a machine, and the speed of each with all of them busy.
    servers: u32,
    speed: f64,
    work: Work,
    /// The objective that the response times are about.
    objective: Objective,
    target: Target,
    /// Whether somebody promised something about response times.
    promised: bool,
}

/// Estimates a group of a plan whose load stands still at its peak, or says why it cannot.
pub fn group(plan: &Plan, id: GroupId, course: &Course, options: &Options) -> Result<GroupEstimate, String> {
    let sizing = Sizing::of(plan, id, options)?;
    let mut steps = sizing.steps();
    let by_sessions = sizing.sessions(course, &mut steps);
    let (taken, why) = sizing.taken(options);
    let forms = sizing.forms(taken);
    let by_form = forms.iter().find(|sized| sized.form == taken).and_then(|sized| sized.machines);
    let instances = by_form.map(|machines| machines.max(by_sessions));
    let sized = instances.zip(sizing.carried(by_form));
    let headroom = sized.map(|(instances, each)| {
        let load = sizing.load();
        headroom::headroom(&Question {
            group: sizing.group,
            id,
            course,
            peak: load,
            each,
            instances,
            utilisation: (each / sizing.lasting()).min(1.0),
            spike: options.spike,
            growth: options.growth,
        })
    });
    let following = headroom.as_ref().zip(sized).map(|(headroom, (_, each))| {
        let fleet = following(course, headroom.lead_time, |cell| {
            let load = headroom::load(course, id, cell) * options.spike.unwrap_or(1.0);
            let needed =
                ((load / each * (1.0 - 1e-9)).ceil() as u32).max(1).max(sizing.for_open(course, cell));
            with_a_zone_less(needed, sizing.group.zones.len()).unwrap_or(needed).min(headroom.instances)
        });
        mean_over(course, &fleet)
    });
    Ok(GroupEstimate {
        name: sizing.group.name.clone(),
        machine: sizing.group.machine().name.clone(),
        steps,
        target: sizing.stated(options),
        forms,
        taken,
        why,
        instances,
        headroom,
        following,
        hourly: sizing.group.machine().hourly,
    })
}

/// What nobody said and is assumed, of a plan and what was asked.
pub fn assumed(plan: &Plan, options: &Options) -> Vec<String> {
    let mut all = Vec::new();
    if options.wait.is_none() && !plan.objectives.iter().any(is_about_time) {
        all.push(format!(
            "nobody promised a response time: machines are sized for {:.0} % utilisation",
            100.0 * USUAL_UTILISATION
        ));
    }
    if options.spike.is_none() {
        all.push("no spike beyond what the profiles show".to_string());
    }
    let days = plan.duration.as_secs_f64() / 86_400.0;
    if days.fract() > 1e-9 {
        all.push(format!("all of the month is like the {:.1} h of the run", 24.0 * days));
    }
    all
}

fn is_about_time(objective: &Objective) -> bool {
    let of_time = matches!(objective.indicator, Indicator::Quantile(_) | Indicator::Mean);
    objective.subject == Subject::Requests && of_time
}

/// All requests, promised nothing.
pub fn everything(share: f64) -> Objective {
    Objective {
        name: "all requests".to_string(),
        traffic: None,
        endpoint: None,
        subject: Subject::Requests,
        indicator: Indicator::Quantile(share),
        bound: f64::INFINITY,
        text: String::new(),
        window: sim_core::Span::from_secs(60),
        allow: sim_core::Span::ZERO,
    }
}

impl Sizing<'_> {
    fn of<'a>(plan: &'a Plan, id: GroupId, options: &Options) -> Result<Sizing<'a>, String> {
        let group = &plan.groups[id.index()];
        let (name, service) = (&group.name, &plan.services[group.service.index()]);
        let demand = plan.demands()[id.index()];
        if group.worker.is_some() {
            return Err(format!(
                "{name}: its instances take jobs from a queue; `scalesim check` says what they carry"
            ));
        }
        if service.engine.is_some() {
            return Err(format!(
                "{name}: an inference engine is limited by its batches, which no formula here knows"
            ));
        }
        if demand.visits <= 0.0 || demand.cpu <= 0.0 {
            return Err(format!("{name}: at the peak no request comes to it, or none that needs its CPU"));
        }
        let limit = oracle::carries(plan)[id.index()].as_ref().map(|carries| carries.limited_by.clone());
        let touches =
            |objective: &&Objective| is_about_time(objective) && asked_of(plan, id, objective).is_some();
        let mut about: Vec<&Objective> = plan.objectives.iter().filter(touches).collect();
        about.sort_by_key(|objective| Some(&objective.name) != limit.as_ref());
        let promised = !about.is_empty();
        let objective = about.first().map_or_else(|| everything(0.95), |&objective| objective.clone());
        let target = options.wait.unwrap_or(match objective.indicator {
            _ if !promised => Target::Utilisation(USUAL_UTILISATION),
            Indicator::Quantile(share) => Target::Quantile { share, bound: objective.bound * 1e-9 },
            _ => Target::Mean(objective.bound * 1e-9),
        });
        let processor = &group.machine().processor;
        let servers = service.runtime.computing_threads(processor.vcpus);
        let speed = processor.capacity_of(servers) / f64::from(servers);
        let [own, rest] = asked_of(plan, id, &objective).unwrap_or_default();
        let of_visit = visit(plan, group);
        let requests = requests_a_second(plan);
        let work = Work {
            rate: requests * demand.visits,
            service: demand.cpu / demand.visits / speed,
            cv: of_visit.variance.sqrt() / of_visit.mean.max(f64::MIN_POSITIVE),
            idle: own.mean / speed + rest.mean,
            idle_variance: own.variance / (speed * speed) + rest.variance,
        };
        Ok(Sizing { plan, id, group, demand, servers, speed, work, objective, target, promised })
    }

    /// vCPU seconds a second that a machine does, in seconds of an idle vCPU.
    fn lasting(&self) -> f64 {
        f64::from(self.servers) * self.speed
    }

    /// CPU time that is asked for in a second at the peak.
    fn load(&self) -> f64 {
        self.work.rate * self.demand.cpu / self.demand.visits
    }

    /// From the load to a machine's capacity.
    fn steps(&self) -> Vec<Step> {
        let Work { rate, service, cv, .. } = self.work;
        let (load, each) = (self.work.offered_load(), f64::from(self.servers));
        let machine = &self.group.machine().name;
        let held = |seconds: f64| 1e3 * seconds;
        vec![
            Step::new(
                "load of the group",
                "λ = Λ · v",
                rate,
                "requests/s",
                "visits by the mix at the peak, calls followed",
            )
            .term("Λ", "requests of all clients", requests_a_second(self.plan), "/s")
            .term("v", "visits of a request", self.demand.visits, ""),
            Step::new(
                "service time",
                "S = D / s",
                held(service),
                "ms",
                format!("measured on an idle vCPU; cv {cv:.2}"),
            )
            .term("D", "CPU time of a visit", held(self.demand.cpu / self.demand.visits), "ms")
            .term("s", "speed of a vCPU with all of the machine busy", self.speed, ""),
            Step::new("offered load", "a = λ · S", load, "busy vCPUs", "Little 1961, for the vCPUs")
                .term("λ", "load", rate, "/s")
                .term("S", "service time", held(service), "ms"),
            Step::new(
                format!("one {machine}"),
                "μ = m / S",
                each / service,
                "requests/s",
                "what computes at once, all of it busy",
            )
            .term("m", "vCPUs that can compute", each, "")
            .term("S", "service time", held(service), "ms"),
        ]
    }

    /// Instances for the sessions that are open at most, by memory and by what the service takes.
    fn sessions(&self, course: &Course, steps: &mut Vec<Step>) -> u32 {
        let Some(most) = self.plan.most_sessions(self.group) else { return 1 };
        let cells = 0..course.cells();
        let open = cells.clone().map(|cell| course.open_at(self.plan, self.id, cell)).fold(0.0, f64::max);
        let needed = cells.map(|cell| self.for_open(course, cell)).max().unwrap_or(1);
        if open <= 0.0 {
            return 1;
        }
        let service = &self.plan.services[self.group.service.index()];
        let mut step = Step::new(
            "instances for open sessions",
            "n ≥ ⌈P / min(C, (M − M₀) / m)⌉",
            f64::from(needed),
            "instances",
            "connections stay where they are: each needs its memory there",
        )
        .term("P", "sessions that are open at most", open, "sessions");
        if let Some(limit) = service.most_connections {
            step = step.term("C", "connections that an instance takes", f64::from(limit), "");
        }
        if let Some((memory, left)) = service.memory.zip(self.plan.memory_left(self.group)) {
            step = step
                .term("M − M₀", "memory beside its processes", left as f64 / f64::from(1 << 20), "MiB")
                .term("m", "memory of a connection", memory.connection as f64 / 1024.0, "KiB");
        }
        steps.push(step.term("P₁", "sessions of an instance at most", f64::from(most), ""));
        needed
    }

    /// Instances for the sessions that are open in a cell; 1 where nothing limits them.
    fn for_open(&self, course: &Course, cell: usize) -> u32 {
        let Some(most) = self.plan.most_sessions(self.group) else { return 1 };
        let open = course.open_at(self.plan, self.id, cell);
        ((open / f64::from(most.max(1))).ceil() as u32).max(1)
    }

    /// The form that fits, and why.
    fn taken(&self, options: &Options) -> (Form, String) {
        let runtime = self.plan.services[self.group.service.index()].runtime;
        let machine = &self.group.machine().name;
        if options.wait.is_some() {
            let why = format!("the target is about the wait, and each {machine} has a queue of its own");
            return (Form::OwnQueue, why);
        }
        if !self.promised {
            let why = "nobody promised a response time, so there is none to keep".to_string();
            return (Form::SeventyPercent, why);
        }
        match runtime.process {
            ProcessKind::EventLoop { .. } => {
                let why = format!(
                    "an event loop takes one step at a time, and a {machine} has no queue in common with others"
                );
                (Form::EventLoops, why)
            }
            _ => {
                let why = format!(
                    "threads share the vCPUs of their {machine}, and idle vCPUs elsewhere do not help"
                );
                (Form::SharedCores, why)
            }
        }
    }

    /// Machines by each form, from the plainest to the one that is taken.
    fn forms(&self, taken: Form) -> Vec<Sized> {
        let (load, each) = (self.work.offered_load(), f64::from(self.servers));
        let up = |machines: f64| {
            let machines = (machines * (1.0 - 1e-9)).ceil().max(1.0);
            (machines <= f64::from(u32::MAX)).then_some(machines as u32)
        };
        let central = |exponential| {
            servers_of_central_queue(&self.work, &self.target, exponential)
                .and_then(|servers| up(f64::from(servers) / each))
        };
        let mut all = vec![
            (Form::Naive, up(load / each)),
            (Form::SeventyPercent, up(load / (USUAL_UTILISATION * each))),
            (Form::SquareRoot, up(square_root_staffing(load) / each)),
        ];
        if !matches!(self.target, Target::Utilisation(_)) {
            all.push((Form::ErlangC, central(true)));
            all.push((Form::Mgc, central(false)));
        }
        match (taken, self.target) {
            (Form::OwnQueue, Target::Wait { share, bound }) => {
                all.push((taken, machines_of_own_queues(&self.work, share, bound, self.servers)));
            }
            (Form::SharedCores | Form::EventLoops, _) => all.push((taken, self.by_oracle())),
            _ => {}
        }
        all.into_iter().map(|(form, machines)| self.sized(form, machines)).collect()
    }

    /// Machines, each by itself, that keep all objectives about the group.
    fn by_oracle(&self) -> Option<u32> {
        let carries = oracle::carries(self.plan).swap_remove(self.id.index())?;
        if carries.rate <= 0.0 {
            return None;
        }
        instances_for(&carries, requests_a_second(self.plan))
    }

    /// A form's fleet, and what the form that is taken expects of it.
    fn sized(&self, form: Form, machines: Option<u32>) -> Sized {
        let share = self.share();
        let sizes = |machines: u32| {
            let own = |index: usize| if index == self.id.index() { machines } else { u32::MAX };
            (0..self.plan.groups.len()).map(own).collect::<Vec<u32>>()
        };
        let expected =
            machines.and_then(|machines| expected(self.plan, &self.objective, &sizes(machines), share));
        let utilisation =
            machines.map(|machines| self.work.offered_load() / f64::from(machines) / f64::from(self.servers));
        Sized {
            form,
            formula: form.formula().to_string(),
            machines,
            utilisation,
            mean: expected.map(|expected| expected.mean),
            quantile: expected.map(|expected| expected.quantile),
            takes_for_granted: form.takes_for_granted().to_string(),
        }
    }

    /// The quantile that is shown: the target's, else p95.
    fn share(&self) -> f64 {
        if let Indicator::Quantile(share) = self.objective.indicator { share } else { 0.95 }
    }

    /// CPU time a second that an instance carries within the target.
    fn carried(&self, machines: Option<u32>) -> Option<f64> {
        match self.target {
            Target::Utilisation(most) => Some(most * self.lasting()),
            Target::Wait { .. } => Some(self.load() / f64::from(machines?)),
            Target::Quantile { .. } | Target::Mean(_) => {
                let carries = oracle::carries(self.plan).swap_remove(self.id.index())?;
                Some(carries.rate * self.demand.cpu).filter(|each| *each > 0.0)
            }
        }
    }

    /// The target in words.
    fn stated(&self, options: &Options) -> String {
        match options.wait {
            Some(Target::Wait { share, bound }) => {
                format!("p{} wait <= {}", trimmed(100.0 * share), sim_core::Span::from_secs_f64(bound))
            }
            _ if !self.promised => format!("{:.0} % utilisation", 100.0 * USUAL_UTILISATION),
            _ => format!("{}: {}", self.objective.name, self.objective.text),
        }
    }
}

/// Without rounding noise: 95, 99.9.
fn trimmed(percent: f64) -> f64 {
    (percent * 1e6).round() / 1e6
}

/// Requests of all clients in a second of a plan whose load stands still, messages among them.
pub fn requests_a_second(plan: &Plan) -> f64 {
    let end = sim_core::Time::ZERO + plan.duration;
    let all: f64 =
        plan.traffic.iter().map(|traffic| traffic.expected_requests(sim_core::Time::ZERO, end)).sum();
    all / plan.duration.as_secs_f64()
}
