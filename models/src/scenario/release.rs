//! `[[release]]`: what comes to the instances of a group, when and how.

use sim_core::{Span, Time};

use super::cron::{MOST_RUNS, Schedule, time_zone};
use super::diagnostic::nearest_or_all;
use super::node::{Entry, Node, Value};
use super::reader::{Reader, choice, read};
use super::units::Moment;
use super::{Context, Names, Place};
use crate::plan::{
    Balancer, BalancerId, BlueGreen, Group, GroupId, HealthCheckKind, How, Objective, Release, Rolling,
};
use crate::scaling::refresh::Preferences;

const KINDS: [&str; 4] = ["instance_refresh", "recreate", "rolling", "blue_green"];
/// The longest that a checkpoint or the bake time may take (API: 172,800 s).
const LONGEST_PAUSE: Span = Span::from_secs(172_800);
/// The most alarms that a release may have (API).
const MOST_ALARMS: usize = 10;

/// What releases refer to.
pub struct Known<'a> {
    /// Groups, as far as they could be read.
    pub groups: &'a [Option<Group>],
    /// Balancers, as far as they could be read.
    pub balancers: &'a [Option<Balancer>],
    /// Objectives, as far as they could be read.
    pub objectives: &'a [Option<Objective>],
}

/// Reads a release.
pub fn release(
    context: &Context<'_>,
    names: &Names<'_>,
    known: &Known<'_>,
    index: usize,
    node: &Node,
) -> (Option<Release>, toml::Table) {
    let path = format!("release.{index}");
    let mut table = Reader::new(context.findings, path.clone(), node);
    let group = table.required::<String>("group");
    let group = group.and_then(|name| names.group(context, &name, &table.place_of("group")));
    if let Some(group) = group {
        not_warm(context, known, group, &table.place_of("group"));
    }
    let times = times(context, &mut table);
    let version = table.optional::<String>("version");
    let wants_version = table.node("version").is_some();
    let place = table.place_of("version");
    if table.node("how").is_none() {
        table.missing("how", "such as { instance_refresh = { min_healthy = 90 } }");
    }
    let how = table.node("how").and_then(|node| {
        let (kind, entry) = choice(context.findings, &format!("{path}.how"), node, &KINDS)?;
        Some((node, kind, entry))
    });
    let Some((node, kind, entry)) = how else { return (None, table.finish()) };
    let (how, alarms, auto_rollback) =
        self::how(context, names, known, group, (&path, kind), node, entry, &mut table);
    let launched = match &how {
        Some(How::BlueGreen(way)) => Some(way.to),
        _ => group,
    };
    let version = version.zip(launched).map(|(name, group)| known.version(context, group, &name, &place));
    let resolved = table.finish();
    let release = (|| {
        let version = match version {
            Some(version) => Some(version?),
            None if wants_version => return None, // which was said
            None => None,
        };
        Some(Release { group: group?, times: times?, version, how: how?, alarms, auto_rollback })
    })();
    if let Some(release) = &release {
        surprises(context, known, release);
    }
    (release, resolved)
}

/// What waits in a warm pool is of the old version, and nobody plays how it is replaced.
fn not_warm(context: &Context<'_>, known: &Known<'_>, group: GroupId, place: &Place) {
    let Some(Some(group)) = known.groups.get(group.index()) else { return };
    if group.lifecycle.warm_pool.is_some() {
        let message =
            format!("`{}` has a warm pool, and a release does not reach what waits there", group.name);
        let label = "releases of such groups are not played";
        context.findings.error(place, message, label, Some("leave `warm_pool` out".to_string()));
    }
}

impl Known<'_> {
    fn group(&self, id: GroupId) -> Option<&Group> {
        self.groups.get(id.index())?.as_ref()
    }

    fn version(&self, context: &Context<'_>, group: GroupId, name: &str, place: &Place) -> Option<u8> {
        let group = self.group(group)?;
        let found = group.version(name);
        if found.is_none() {
            let own = group.versions.iter().map(|version| version.name.as_str());
            let all: Vec<&str> = std::iter::once(Group::FIRST_VERSION).chain(own).collect();
            let message = format!("group `{}` has no version `{name}`", group.name);
            let help = format!(
                "{}, or add the table [group.{}.version.{name}]",
                nearest_or_all(name, &all),
                group.name
            );
            context.findings.error(place, message, "unknown version", Some(help));
        }
        found
    }
}

/// `at = "10:00"`, or `cron = "0 3 * * *"` with its `time_zone`.
fn times(context: &Context<'_>, table: &mut Reader<'_>) -> Option<Vec<Time>> {
    let cron = table.optional::<String>("cron");
    let at = table.optional::<Moment>("at");
    match (cron, at) {
        (None, Some(at)) => {
            if table.node("time_zone").is_some() {
                let message = format!("`{}` goes with `cron`, not with `at`", table.path_of("time_zone"));
                context.findings.error(&table.place_of("time_zone"), message, "leave this out", None);
            }
            Some(vec![context.moment(&at, &table.place_of("at"))?])
        }
        (Some(cron), None) => {
            let zone = table.or("time_zone", "UTC".to_string());
            let zone = time_zone(context, &zone, &table.place_of("time_zone"))?;
            let place = table.place_of("cron");
            let parsed = super::cron::cron(context, &cron, &place)?;
            let comes = Schedule::new(parsed, zone, &cron);
            let times = comes.times(context, Time::ZERO, Time::ZERO + context.duration);
            if times.len() >= MOST_RUNS {
                let message = format!("`{cron}` comes more than {MOST_RUNS} times within the scenario");
                context.findings.error(&place, message, "expected a rarer release or a shorter run", None);
            }
            if times.is_empty() {
                context.findings.note(format!("release ({cron}) never comes within the scenario"));
            }
            Some(times)
        }
        (Some(_), Some(_)) => {
            let message = "a release with a time that comes by cron as well";
            context.findings.error(&table.place_of("cron"), message, "either `at` or `cron`", None);
            None
        }
        (None, None) => {
            table.missing("at", "when it begins, such as \"14:00\"; or `cron`, such as \"0 3 * * *\"");
            None
        }
    }
}

#[expect(clippy::too_many_arguments, reason = "what a table is and what it refers to")]
fn how(
    context: &Context<'_>,
    names: &Names<'_>,
    known: &Known<'_>,
    group: Option<GroupId>,
    (path, kind): (&str, &str),
    node: &Node,
    entry: Option<&Entry>,
    table: &mut Reader<'_>,
) -> (Option<How>, Vec<u16>, bool) {
    let empty = Node { place: node.place.clone(), value: Value::Table(Vec::new()) };
    let options = entry.map_or(&empty, |entry| &entry.node);
    let mut options = Reader::new(context.findings, format!("{path}.how.{kind}"), options);
    let how = match kind {
        "instance_refresh" => refresh(context, &mut options).map(How::InstanceRefresh),
        "recreate" => Some(How::Recreate { wait: options.or("wait", Span::from_secs(300)) }),
        "rolling" => Some(How::Rolling(Rolling {
            drain: options.or("drain", Span::from_secs(30)),
            wait_for_health: options.or("wait_for_health", true),
            timeout: options.or("timeout", Span::from_secs(900)),
            pause: options.or("pause", Span::ZERO),
        })),
        _ => blue_green(context, names, known, group, &mut options).map(How::BlueGreen),
    };
    // Who sets a size by hand and goes to lunch has no alarm.
    let (alarms, auto_rollback) = match kind {
        "recreate" => (Vec::new(), false),
        _ => (alarms(context, known, &mut options), options.or("auto_rollback", false)),
    };
    table.resolve("how", toml::Table::from_iter([(kind.to_string(), toml::Value::Table(options.finish()))]));
    (how, alarms, auto_rollback)
}

fn refresh(context: &Context<'_>, table: &mut Reader<'_>) -> Option<Preferences> {
    let usual = Preferences::default();
    let min_healthy = table.or("min_healthy", usual.min_healthy);
    let max_healthy = table.or("max_healthy", usual.max_healthy);
    let wrong = |table: &Reader<'_>, key: &str, message: String, label: &str, help: Option<&str>| {
        context.findings.error(&table.place_of(key), message, label, help.map(str::to_string));
    };
    if min_healthy > 100 {
        let message = format!("`{}` is {min_healthy} %", table.path_of("min_healthy"));
        let help = "it is a share of the desired capacity (MinHealthyPercentage)";
        wrong(table, "min_healthy", message, "expected 0 to 100", Some(help));
    }
    if !(100..=200).contains(&max_healthy) {
        let message = format!("`{}` is {max_healthy} %", table.path_of("max_healthy"));
        let help = "it is a share of the desired capacity (MaxHealthyPercentage); above 100 new instances come first";
        wrong(table, "max_healthy", message, "expected 100 to 200", Some(help));
    } else if max_healthy.saturating_sub(min_healthy) > 100 {
        let message = format!("from {min_healthy} % to {max_healthy} % healthy is too far apart");
        let help = "the difference between `max_healthy` and `min_healthy` must not be above 100";
        wrong(table, "max_healthy", message, "the provider refuses this", Some(help));
    }
    let instance_warmup = table.optional::<Span>("instance_warmup");
    let checkpoints = percentages(context, table, "checkpoints", &[]);
    if checkpoints.is_empty() && table.node("checkpoint_delay").is_some() {
        let message = format!("`{}` without `checkpoints`", table.path_of("checkpoint_delay"));
        wrong(
            table,
            "checkpoint_delay",
            message,
            "there is nothing to wait at",
            Some("add `checkpoints = [20, 100]`"),
        );
    }
    let checkpoint_delay = match checkpoints.is_empty() {
        true => usual.checkpoint_delay,
        false => table.or("checkpoint_delay", usual.checkpoint_delay),
    };
    let bake_time = table.or("bake_time", usual.bake_time);
    for (key, span) in [("checkpoint_delay", checkpoint_delay), ("bake_time", bake_time)] {
        if span > LONGEST_PAUSE {
            let message = format!("`{}` is {span}", table.path_of(key));
            wrong(table, key, message, "expected at most 2 days", None);
        }
    }
    let skip_matching = table.or("skip_matching", usual.skip_matching);
    Some(Preferences {
        min_healthy,
        max_healthy,
        instance_warmup,
        checkpoints,
        checkpoint_delay,
        bake_time,
        skip_matching,
    })
}

/// Percentages that ascend.
fn percentages(context: &Context<'_>, table: &mut Reader<'_>, key: &'static str, usual: &[u32]) -> Vec<u32> {
    let path = table.path_of(key);
    let items = table.items(key);
    let mut all: Vec<u32> = Vec::new();
    for item in items {
        let Some(percent) = read::<u32>(context.findings, &path, item) else { continue };
        if !(1..=100).contains(&percent) {
            let label = "expected 1 to 100";
            context.findings.error(&item.place, format!("`{path}`: {percent} %"), label, None);
        } else if let Some(before) = all.last().filter(|&&before| before >= percent) {
            let message = format!("`{path}`: {percent} % comes after {before} %");
            context.findings.error(&item.place, message, "expected more than the one before", None);
        }
        all.push(percent);
    }
    if table.node(key).is_none() {
        all = usual.to_vec();
    }
    if !all.is_empty() {
        table.resolve(
            key,
            all.iter().map(|&percent| toml::Value::from(i64::from(percent))).collect::<Vec<_>>(),
        );
    }
    all
}

/// Objectives by their names: a violated window is the alarm.
fn alarms(context: &Context<'_>, known: &Known<'_>, table: &mut Reader<'_>) -> Vec<u16> {
    let path = table.path_of("alarms");
    let (mut alarms, mut shown) = (Vec::new(), Vec::new());
    let items = table.items("alarms");
    if items.len() > MOST_ALARMS {
        let message = format!("`{path}` has {} alarms", items.len());
        context.findings.error(&table.place_of("alarms"), message, format!("at most {MOST_ALARMS}"), None);
    }
    for item in items {
        let Some(name) = read::<String>(context.findings, &path, item) else { continue };
        let all = known.objectives.iter().flatten();
        match known.objectives.iter().position(|other| other.as_ref().is_some_and(|other| other.name == name))
        {
            Some(index) => alarms.push(index as u16),
            None => {
                let names: Vec<&str> = all.map(|objective| objective.name.as_str()).collect();
                let help = match names.is_empty() {
                    true => "an alarm is an objective: add an [[sla]] entry with this `name`".to_string(),
                    false => nearest_or_all(&name, &names),
                };
                let message = format!("there is no objective `{name}`");
                context.findings.error(&item.place, message, "unknown objective", Some(help));
            }
        }
        shown.push(toml::Value::String(name));
    }
    if !shown.is_empty() {
        table.resolve("alarms", shown);
    }
    alarms
}

fn blue_green(
    context: &Context<'_>,
    names: &Names<'_>,
    known: &Known<'_>,
    group: Option<GroupId>,
    table: &mut Reader<'_>,
) -> Option<BlueGreen> {
    let to = table.required::<String>("to");
    let place = table.place_of("to");
    let to = to.and_then(|name| names.group(context, &name, &place));
    let steps = percentages(context, table, "steps", &[100]);
    if steps.last().is_some_and(|&last| last < 100) {
        let message = format!("`{}` ends at {} %", table.path_of("steps"), steps.last()?);
        context.findings.error(&table.place_of("steps"), message, "expected 100 as the last one", None);
    }
    let interval = table.or("interval", Span::from_secs(300));
    let timeout = table.or("timeout", Span::from_secs(1_800));
    let terminate_after = table.or("terminate_after", Span::from_secs(3_600));
    let (from, to) = (group?, to?);
    let name = |id: GroupId| names.groups[id.index()].key.as_str();
    if from == to {
        let message = format!("group `{}` takes over from itself", name(to));
        context.findings.error(&place, message, "expected another group", None);
        return None;
    }
    let has_both = |(id, balancer): (u16, &Option<Balancer>)| {
        balancer.as_ref().filter(|balancer| balancer.has(from) && balancer.has(to)).map(|_| BalancerId(id))
    };
    let balancers: Vec<BalancerId> = (0u16..).zip(known.balancers).filter_map(has_both).collect();
    if balancers.is_empty() && known.balancers.iter().all(Option::is_some) {
        let message = format!("no balancer has both `{}` and `{}` as its targets", name(from), name(to));
        let help =
            format!("`targets = {{ {} = 1, {} = 0 }}` in the balancer before them", name(from), name(to));
        context.findings.error(
            &place,
            message,
            "nobody could send requests from one to the other",
            Some(help),
        );
    }
    for &id in &balancers {
        let Some(balancer) = &known.balancers[id.index()] else { continue };
        if balancer.weighs_equally() {
            let message = format!(
                "balancer `{}` sends to `{}` and `{}` alike from the start",
                balancer.name,
                name(from),
                name(to)
            );
            let help = format!(
                "give the group that is to take over no weight: `targets = {{ {} = 1, {} = 0 }}`",
                name(from),
                name(to)
            );
            context.findings.error(&place, message, "it takes requests already", Some(help));
        }
    }
    Some(BlueGreen { to, balancers, steps, interval, timeout, terminate_after })
}

/// What everybody gets wrong once.
fn surprises(context: &Context<'_>, known: &Known<'_>, release: &Release) {
    let (Some(group), How::InstanceRefresh(preferences)) = (known.group(release.group), &release.how) else {
        return;
    };
    let name = &group.name;
    if group.desired == 1 && preferences.max_healthy == 100 {
        let healthy = match preferences.min_healthy {
            100 => ", although 100 % are to stay healthy",
            _ => "",
        };
        context.findings.note(format!(
            "group `{name}` has one instance, which an instance refresh terminates before its replacement is there{healthy}: nobody serves until then; `max_healthy = 200` launches first"
        ));
    }
    let version = release.version.unwrap_or(0);
    let startup = group.template(version).startup;
    let warm_up = crate::scaling::refresh::refresh_warmup(
        preferences.instance_warmup,
        group.instance_warmup,
        group.grace_period,
    );
    let serves = (startup.mean() - startup.provision.mean()) * 1e-9;
    if group.health_check == HealthCheckKind::Ec2 && warm_up.as_secs_f64() < serves {
        context.findings.note(format!(
            "group `{name}`: with EC2 status checks an instance refresh takes a new instance as healthy once it runs, and goes on {warm_up} later; its app is up {serves:.0} s after that: set `instance_warmup`, or `health_check = \"elb\"`"
        ));
    }
    if preferences.checkpoints.last().is_some_and(|&last| last < 100) {
        context.findings.note(format!(
            "group `{name}`: the last checkpoint is {} %, so the refresh ends there and leaves the others as they are",
            preferences.checkpoints.last().copied().unwrap_or(0)
        ));
    }
}
