//! Scenario files: from TOML as typed to a [`Plan`], with every error at once.
//!
//! Each table has its file here: [`traffic`](self), [`service`](self), [`group`](self), [`sla`](self). Keys are asked for
//! by name, type and default through a [`reader`](self), which also writes down what was asked: that is the *resolved*
//! scenario, which reads back to the same plan. The library opens no file: a scenario's traces come from [`Files`].

mod balancer;
mod changes;
mod check;
mod command;
mod connections;
mod cost;
mod cron;
mod diagnostic;
mod dist;
mod draft;
mod engine;
mod group;
mod health_check;
mod hpa;
mod incident;
mod job_notes;
mod jobs;
mod kernel;
mod kubernetes;
mod lifecycle;
mod machine;
mod mig;
mod mixed;
mod network;
mod node;
mod nodes;
mod overload;
mod predictive;
mod quantity;
mod queue;
mod reader;
mod release;
mod replay;
pub(crate) mod runtime;
mod scaling;
mod schedule;
mod service;
mod session;
mod signals;
mod sla;
mod startup;
mod status;
mod supervisor;
mod targets;
mod tokens;
mod traffic;
mod units;
mod version;
mod vmss;
mod worker;

use std::collections::BTreeMap;
use std::io;

use jiff::Zoned;
use sim_core::{Span, Time};

use crate::cost::{BUILT_IN, PriceBook};
use crate::plan::{
    Balancer, BalancerId, Endpoint, EndpointId, GroupId, Limits, Machine, NodePool, Plan, ServiceId,
    Supervisor, TrafficId,
};
use diagnostic::Source;
use node::{Entry, Node, Value};
use reader::{Findings, Reader};
use units::{Moment, Period, Start};

pub use changes::{Change, changes};
pub(crate) use diagnostic::nearest_or_all;
pub use diagnostic::{Bytes, Diagnostic, Diagnostics, Place};
pub use draft::Draft;
pub use group::MOST_INSTANCES;
pub(crate) use node::split_path;

/// The most entries of one kind that a scenario may have; ids are 16 bits wide.
const MOST_NAMES: usize = 10_000;

/// A scenario that was read and is sound.
#[derive(Clone, Debug)]
pub struct Scenario {
    plan: Plan,
    resolved: String,
    command: String,
}

/// Gives the contents of files that a scenario names: traces, samples, price books.
pub trait Files {
    /// Opens a file by the path that the scenario gives.
    ///
    /// # Errors
    /// Whatever keeps it from being read; the message becomes part of a diagnostic.
    fn open(&self, path: &str) -> io::Result<Box<dyn io::Read>>;
}

/// For scenarios that name no files.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFiles;

impl Files for NoFiles {
    fn open(&self, _: &str) -> io::Result<Box<dyn io::Read>> {
        Err(io::Error::new(io::ErrorKind::NotFound, "this scenario was read without access to files"))
    }
}

impl Scenario {
    /// Reads a scenario that names no files.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(text: &str) -> Result<Scenario, Diagnostics> {
        Scenario::read("scenario.toml", text, &[], &NoFiles)
    }

    /// Reads a scenario. `name` is its file's name, for messages. `overrides` are paths and values that are set before
    /// anything is checked; a value is TOML, or a string without its quotes.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn read(
        name: &str,
        text: &str,
        overrides: &[(String, String)],
        files: &dyn Files,
    ) -> Result<Scenario, Diagnostics> {
        let mut sources = vec![Source { name: name.to_string(), text: text.to_string() }];
        let mut errors = Vec::new();
        let mut document = node::parse(&sources[0], 0, &mut errors);
        for (path, value) in overrides {
            let source = Source { name: "--set".to_string(), text: format!("{path}={value}") };
            let value = node::override_value(value, sources.len(), path.len() + 1);
            sources.push(source);
            node::set(&mut document, path, value, &mut errors);
        }
        if let Some(diagnostics) = Diagnostics::new(errors, sources.clone()) {
            return Err(diagnostics); // what a broken document seems to lack would only confuse
        }
        let findings = Findings::default();
        let read = lower(&findings, &document, files);
        let (errors, notes) = findings.into_parts();
        match (Diagnostics::new(errors, sources), read) {
            (None, Some((mut plan, resolved))) => {
                plan.notes.extend(notes);
                Ok(Scenario { plan, resolved, command: command::command(name, overrides) })
            }
            (Some(diagnostics), _) => Err(diagnostics),
            (None, None) => unreachable_without_findings(name),
        }
    }

    /// Plays it once, from its own seed. An [`Experiment`](crate::Experiment) plays it more than once.
    pub fn run(&self) -> crate::results::Results {
        crate::Experiment::new(self).run()
    }

    /// What it describes.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The scenario as TOML, with every default filled in. It reads back to the same plan.
    pub fn resolved(&self) -> &str {
        &self.resolved
    }

    /// The command line that plays it, as far as its name and what was set say: `scalesim run shop.toml --set group.web.max=8`.
    pub fn command(&self) -> &str {
        &self.command
    }
}

/// Reading fails only where something was found; should that ever be untrue, this says so rather than panic.
fn unreachable_without_findings(name: &str) -> Result<Scenario, Diagnostics> {
    let place = Place { source: 0, span: (0..0).into() };
    let diagnostic = Diagnostic {
        place,
        message: "the scenario could not be read, and no reason was found; please report this file"
            .to_string(),
        label: String::new(),
        help: None,
    };
    let sources = vec![Source { name: name.to_string(), text: String::new() }];
    Err(Diagnostics::new(vec![diagnostic], sources).expect("there is one diagnostic"))
}

/// What all tables need while they are read.
pub struct Context<'a> {
    findings: &'a Findings,
    files: &'a dyn Files,
    start: Zoned,
    duration: Span,
}

impl Context<'_> {
    /// An instant of the run; one outside it is an error.
    fn moment(&self, moment: &Moment, place: &Place) -> Option<Time> {
        match moment.since(&self.start) {
            Ok(since) if since <= self.duration => Some(Time::ZERO + since),
            Ok(since) => {
                let message = format!(
                    "`{}` is {since} after the start, and the run is over after {}",
                    moment.0, self.duration
                );
                self.findings.error(place, message, "outside the run", None);
                None
            }
            Err(why) => {
                let help = Some("write \"14:00\", \"2h\" or \"2026-11-27T14:00:00\"".to_string());
                self.findings.error(place, why, "not an instant of the run", help);
                None
            }
        }
    }

    /// The value, or a finding and nothing.
    fn findings_if_err<T, E>(
        &self,
        result: Result<T, E>,
        place: &Place,
        message: impl FnOnce(&E) -> String,
    ) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.findings.error(place, message(&error), "here", None);
                None
            }
        }
    }

    /// The time of day at the start.
    fn time_of_day(&self) -> Span {
        let since = self.start.time().duration_since(jiff::civil::Time::midnight());
        Span::from_nanos(u64::try_from(since.as_nanos()).unwrap_or(0))
    }

    /// The day of the week at the start, from Monday as 0.
    fn weekday(&self) -> u8 {
        self.start.weekday().to_monday_zero_offset().unsigned_abs()
    }
}

/// The names that tables refer to each other by.
pub struct Names<'a> {
    traffic: &'a [Entry],
    services: &'a [Entry],
    groups: &'a [Entry],
    balancers: &'a [Entry],
    machines: BTreeMap<String, Machine>,
    nodes: &'a [Entry],
    /// What the tables of `nodes` say; `None` for one that cannot be read.
    pools: Vec<Option<NodePool>>,
    queues: &'a [Entry],
    /// The sources of questions for jobs, which come after those of `traffic`.
    statuses: Vec<String>,
    /// What a GiB of a volume costs for a month, where a group does not say.
    volume_gib_month: f64,
    /// The service behind each balancer, as far as the names can be followed.
    behind: Vec<Option<ServiceId>>,
}

impl Names<'_> {
    fn find(context: &Context<'_>, what: &str, entries: &[Entry], name: &str, place: &Place) -> Option<u16> {
        if let Some(index) = entries.iter().position(|entry| entry.key == name) {
            return u16::try_from(index).ok();
        }
        let known: Vec<&str> = entries.iter().map(|entry| entry.key.as_str()).collect();
        let help = Some(nearest_or_all(name, &known));
        context.findings.error(
            place,
            format!("there is no {what} `{name}`"),
            format!("unknown {what}"),
            help,
        );
        None
    }

    fn traffic(&self, context: &Context<'_>, name: &str, place: &Place) -> Option<TrafficId> {
        self.status_source(name)
            .or_else(|| Self::find(context, "traffic", self.traffic, name, place).map(TrafficId))
    }

    fn service(&self, context: &Context<'_>, name: &str, place: &Place) -> Option<ServiceId> {
        Self::find(context, "service", self.services, name, place).map(ServiceId)
    }

    fn group(&self, context: &Context<'_>, name: &str, place: &Place) -> Option<GroupId> {
        Self::find(context, "group", self.groups, name, place).map(GroupId)
    }

    fn balancer(&self, context: &Context<'_>, name: &str, place: &Place) -> Option<BalancerId> {
        Self::find(context, "balancer", self.balancers, name, place).map(BalancerId)
    }

    fn machine(&self, context: &Context<'_>, name: &str, place: &Place) -> Option<Machine> {
        if let Some(machine) = self.machines.get(name) {
            return Some(machine.clone());
        }
        let known: Vec<&str> = self.machines.keys().map(String::as_str).collect();
        let help = diagnostic::nearest(name, known)
            .unwrap_or_else(|| "use a type of the price book, or add its [machine.NAME] table".into());
        context.findings.error(place, format!("there is no machine `{name}`"), "unknown machine", Some(help));
        None
    }

    /// The service that a balancer's group runs.
    fn service_behind(&self, balancer: BalancerId) -> Option<ServiceId> {
        self.behind.get(balancer.index()).copied().flatten()
    }

    /// The name of a service.
    fn service_name(&self, service: ServiceId) -> &str {
        &self.services[service.index()].key
    }

    /// An endpoint of the service behind a balancer.
    fn endpoint_behind(
        &self,
        context: &Context<'_>,
        balancer: BalancerId,
        name: &str,
        place: &Place,
        endpoints: &[Endpoint],
    ) -> Option<EndpointId> {
        let service = self.service_behind(balancer)?;
        let own =
            || (0u16..).map(EndpointId).zip(endpoints).filter(|(_, endpoint)| endpoint.service == service);
        if let Some((id, _)) = own().find(|(_, endpoint)| endpoint.name == name) {
            return Some(id);
        }
        let known: Vec<&str> = own().map(|(_, endpoint)| endpoint.name.as_str()).collect();
        let service = &self.services[service.index()].key;
        let help = Some(nearest_or_all(name, &known));
        context.findings.error(
            place,
            format!("service `{service}` has no endpoint `{name}`"),
            "unknown endpoint",
            help,
        );
        None
    }
}

/// From the document to the plan and the resolved text. `None` only where something was found.
fn lower(findings: &Findings, document: &Node, files: &dyn Files) -> Option<(Plan, String)> {
    let mut root = Reader::new(findings, "", document);
    let empty = Node { place: document.place.clone(), value: Value::Table(Vec::new()) };
    let head = root.node("scenario");
    if head.is_none() {
        root.missing("scenario", "[scenario] with a name and a duration");
    }
    let mut head = Reader::new(findings, "scenario", head.unwrap_or(&empty));
    let name = head.or("name", "unnamed".to_string());
    let monday = "2026-01-05T00:00:00+00:00[UTC]".parse().expect("a valid time");
    let start = head.or("start", Start(monday)).0;
    let duration = head.required::<Period>("duration").map_or(Span::ZERO, |period| period.0);
    let seed = head.or("seed", 1u64);
    let warm_up = head.or("warm_up", Span::ZERO);
    if !duration.is_zero() && warm_up >= duration {
        findings.error(
            &head.place_of("warm_up"),
            "the warm-up is as long as the run",
            "nothing would be measured",
            None,
        );
    }
    root.resolve("scenario", head.finish());
    let context = Context { findings, files, start, duration };
    let limits = limits(&mut root, findings, &empty);
    let prices = cost::prices(&context, &mut root);
    let names = names(&context, &mut root, prices.as_ref());
    let terms = cost::terms(&context, &names, &mut root);
    let parts = Parts::read(&context, &names, &mut root);
    let resolved = root.finish();
    if !findings.clean() {
        return None;
    }
    let Parts { services, endpoints, groups, queues, balancers, traffic, incidents, releases, objectives } =
        parts;
    let mut plan = Plan {
        name,
        seed,
        start: context.start.clone(),
        duration,
        warm_up,
        limits,
        traffic: traffic.into_iter().collect::<Option<_>>()?,
        services,
        endpoints,
        groups: groups.into_iter().collect::<Option<_>>()?,
        nodes: names.pools.into_iter().collect::<Option<_>>()?,
        queues: queues.into_iter().collect::<Option<_>>()?,
        balancers: balancers.into_iter().collect::<Option<_>>()?,
        incidents,
        releases: releases.into_iter().collect::<Option<_>>()?,
        objectives: objectives.into_iter().collect::<Option<_>>()?,
        prices,
        terms,
        notes: Vec::new(),
    };
    status::expect(&mut plan);
    check::plan(findings, document, &plan);
    check::nodes_of_start(findings, document, &plan);
    let text = toml::to_string(&resolved).ok()?;
    findings.clean().then_some((plan, text))
}

fn limits(root: &mut Reader<'_>, findings: &Findings, empty: &Node) -> Limits {
    let mut table = Reader::new(findings, "limits", root.node("limits").unwrap_or(empty));
    let events = table.or("events", 20_000_000_000u64);
    let in_flight = table.or("in_flight", 1_000_000u32);
    let sessions = table.or("sessions", 2_000_000u32);
    let jobs = table.or("jobs", 5_000_000u32);
    let zeros = [events == 0, in_flight == 0, sessions == 0, jobs == 0];
    for (key, zero) in ["events", "in_flight", "sessions", "jobs"].into_iter().zip(zeros) {
        if zero {
            findings.error(&table.place_of(key), format!("a limit of no {key}"), "expected 1 or more", None);
        }
    }
    root.resolve("limits", table.finish());
    Limits { events, in_flight, sessions, jobs }
}

fn names<'a>(context: &Context<'_>, root: &mut Reader<'a>, prices: Option<&PriceBook>) -> Names<'a> {
    let built_in = PriceBook::built_in(BUILT_IN);
    let books = built_in.iter().chain(prices);
    let mut machines: BTreeMap<String, Machine> = BTreeMap::new();
    for (name, kind) in books.flat_map(|book| &book.instances) {
        machines.insert(name.clone(), kind.machine(name));
    }
    let mut shown = toml::Table::new();
    // A machine may be like one that stands below it.
    let mut left: Vec<&Entry> = root.named("machine").iter().collect();
    while !left.is_empty() {
        let ready = left.iter().position(|entry| {
            machine::base_of(entry).is_none_or(|base| !left.iter().any(|other| other.key == base))
        });
        let entry = left.remove(ready.unwrap_or(0));
        let (machine, resolved) = machine::machine(context, &machines, entry);
        machines.insert(entry.key.clone(), machine);
        shown.insert(entry.key.clone(), toml::Value::Table(resolved));
    }
    if !shown.is_empty() {
        root.resolve("machine", shown);
    }
    let pools = nodes::pools(context, &machines, root);
    let mut names = Names {
        nodes: root.named("nodes"),
        pools,
        traffic: root.named("traffic"),
        services: root.named("service"),
        groups: root.named("group"),
        balancers: root.named("balancer"),
        machines,
        queues: root.named("queue"),
        statuses: Vec::new(),
        volume_gib_month: prices.or(built_in.as_ref()).map_or(0.0, |book| book.volume_gib_month),
        behind: Vec::new(),
    };
    for (what, entries) in [
        ("traffic", names.traffic),
        ("service", names.services),
        ("group", names.groups),
        ("balancer", names.balancers),
        ("queue", names.queues),
    ] {
        if entries.is_empty() && what != "queue" {
            root.missing(what, &format!("at least one [{what}.NAME] table"));
        }
        if let Some(entry) = entries.get(MOST_NAMES) {
            context.findings.error(
                &entry.place,
                format!("more than {MOST_NAMES} tables [{what}.NAME]"),
                "one too many",
                None,
            );
        }
    }
    names.statuses = status::sources(context, names.traffic);
    names.behind = names.balancers.iter().map(|balancer| names.follow(balancer)).collect();
    names
}

/// A text in a table, if there is one.
fn text(entry: &Entry, key: &str) -> Option<String> {
    let Value::Table(entries) = &entry.node.value else { return None };
    match &entries.iter().find(|entry| entry.key == key)?.node.value {
        Value::String(text) => Some(text.clone()),
        _ => None,
    }
}

impl Names<'_> {
    /// From a balancer to the service behind it, by names alone and without a word about what is missing.
    fn follow(&self, balancer: &Entry) -> Option<ServiceId> {
        let named = |entries: &Vec<Entry>| {
            let targets = &entries.iter().find(|entry| entry.key == "targets")?.node.value;
            let Value::Table(targets) = targets else { return None };
            targets.first().map(|target| target.key.clone())
        };
        let first = match &balancer.node.value {
            Value::Table(entries) => named(entries),
            _ => None,
        };
        let group = text(balancer, "targets").or(first)?;
        let index = self.groups.iter().position(|entry| entry.key == group)?;
        self.service_of(GroupId(u16::try_from(index).ok()?))
    }

    /// The service that a group runs, by names alone and without a word about what is missing.
    fn service_of(&self, group: GroupId) -> Option<ServiceId> {
        let service = text(self.groups.get(group.index())?, "service")?;
        let index = self.services.iter().position(|entry| entry.key == service)?;
        u16::try_from(index).ok().map(ServiceId)
    }
}

/// All that names stand for.
struct Parts {
    services: Vec<crate::plan::Service>,
    endpoints: Vec<Endpoint>,
    groups: Vec<Option<crate::plan::Group>>,
    queues: Vec<Option<crate::plan::Queue>>,
    balancers: Vec<Option<Balancer>>,
    traffic: Vec<Option<crate::plan::Traffic>>,
    incidents: Vec<crate::plan::Incident>,
    releases: Vec<Option<crate::plan::Release>>,
    objectives: Vec<Option<crate::plan::Objective>>,
}

impl Parts {
    fn read(context: &Context<'_>, names: &Names<'_>, root: &mut Reader<'_>) -> Parts {
        let (mut services, mut drafts, mut shown) = (Vec::new(), Vec::new(), toml::Table::new());
        for (id, entry) in (0u16..).map(ServiceId).zip(names.services) {
            let (service, own, resolved) = service::service(context, names, entry, id);
            services.push(service);
            drafts.extend(own);
            shown.insert(entry.key.clone(), toml::Value::Table(resolved));
        }
        root.resolve("service", shown);
        let endpoints = service::link(context, names, drafts);
        let groups = table_of(root, "group", names.groups, |entry| {
            match group::group(context, names, &services, &endpoints, entry) {
                Some((group, resolved)) => (Some(group), resolved),
                None => (None, toml::Table::new()),
            }
        });
        // A container that ends is started again, whoever else looks after the service.
        for group in groups.iter().flatten().filter(|group| group.pods.is_some()) {
            services[group.service.index()].supervisor.get_or_insert(Supervisor::KUBELET);
        }
        let balancers = table_of(root, "balancer", names.balancers, |entry| {
            balancer::balancer(context, names, &services, entry)
        });
        let queues = if names.queues.is_empty() {
            Vec::new()
        } else {
            table_of(root, "queue", names.queues, |entry| queue::queue(context, names, entry))
        };
        let mut traffic = table_of(root, "traffic", names.traffic, |entry| {
            traffic::traffic(context, names, entry, &endpoints)
        });
        let asking: Vec<_> = traffic.iter().flatten().filter_map(status::source).map(Some).collect();
        traffic.extend(asking);
        let known = incident::Known { groups: &groups, services: &services, endpoints: &endpoints };
        let mut incidents = Vec::new();
        let mut shown = Vec::new();
        for (index, node) in root.items("incident").iter().enumerate() {
            if let Some((incident, resolved)) = incident::incident(context, names, &known, index, node) {
                incidents.push(incident);
                shown.push(toml::Value::Table(resolved));
            }
        }
        if !shown.is_empty() {
            root.resolve("incident", shown);
        }
        let (mut objectives, mut shown) = (Vec::new(), Vec::new());
        for (index, node) in root.items("sla").iter().enumerate() {
            let (objective, resolved) = sla::objective(context, names, index, node, &endpoints);
            check::distinct(context.findings, node, &objectives, objective.as_ref());
            objectives.push(objective);
            shown.push(toml::Value::Table(resolved));
        }
        if !shown.is_empty() {
            root.resolve("sla", shown);
        }
        let known = release::Known { groups: &groups, balancers: &balancers, objectives: &objectives };
        let (mut releases, mut shown) = (Vec::new(), Vec::new());
        for (index, node) in root.items("release").iter().enumerate() {
            let (release, resolved) = release::release(context, names, &known, index, node);
            releases.push(release);
            shown.push(toml::Value::Table(resolved));
        }
        if !shown.is_empty() {
            root.resolve("release", shown);
        }
        Parts { services, endpoints, groups, queues, balancers, traffic, incidents, releases, objectives }
    }
}

/// Reads all tables of a kind and resolves them under their names.
fn table_of<T>(
    root: &mut Reader<'_>,
    key: &str,
    entries: &[Entry],
    read: impl Fn(&Entry) -> (T, toml::Table),
) -> Vec<T> {
    let mut shown = toml::Table::new();
    let mut values = Vec::with_capacity(entries.len());
    for entry in entries {
        let (value, resolved) = read(entry);
        values.push(value);
        shown.insert(entry.key.clone(), toml::Value::Table(resolved));
    }
    root.resolve(key, shown);
    values
}
