//! `[traffic.NAME]`: a profile or a trace, flash crowds, the mix, and the clients' patience.

use std::sync::Arc;

use sim_core::{Span, Time};

use super::dist::pairs;
use super::node::{Entry, Node, Value};
use super::reader::{Read, Reader, choice, read};
use super::replay::{Replayed, replay};
use super::units::{Factor, MOST_FACTOR, Moment, Period, Positive, Rate, TimeOfDay};
use super::{Context, Names, connections, overload, session, status};
use crate::plan::{Backoff, Endpoint, EndpointId, Retry, RetryBudget, Traffic};
use crate::traffic::{Arrivals, Decay, Height, Profile, RateArrivals, Spike};

const HALF_A_DAY: u64 = 43_200;
/// Points that a profile may have within the run.
const MOST_KNOTS: u64 = 1_000_000;

/// Reads a source of requests.
pub fn traffic(
    context: &Context<'_>,
    names: &Names<'_>,
    entry: &Entry,
    endpoints: &[Endpoint],
) -> (Option<Traffic>, toml::Table) {
    let path = format!("traffic.{}", entry.key);
    let mut table = Reader::new(context.findings, path.clone(), &entry.node);
    let to = table.required::<String>("to");
    let to = to.and_then(|name| names.balancer(context, &name, &table.place_of("to")));
    let arrivals = arrivals(context, &mut table, &path);
    let timeout = timeout(context, &mut table);
    let retry = retry(context, &mut table);
    let hedge = overload::hedge(context, &mut table, timeout.flatten());
    let clients = clients(context, &mut table);
    let clients_per_address = connections::clients_per_address(context, &mut table, clients);
    let connections = connections::connections(context, &mut table, clients);
    let network = connections::network(context, &mut table, names, to);
    let mix = to.and_then(|to| mix(context, names, &mut table, to, endpoints));
    let sessions = session::sessions(context, names, &mut table, to, endpoints);
    let status = status::status(context, names, &mut table, &entry.key, to, endpoints);
    let alone = |key: &str, with: &str, message: String| {
        context.findings.error(&table.place_of(key), message, format!("not with `{with}`"), None);
    };
    let opens = matches!(sessions, Some(Some(_)));
    let wired = [("connections", connections.is_some()), ("network", network.is_some())];
    let wired = wired.into_iter().find(|(_, given)| *given).map(|(key, _)| key);
    if hedge.is_some() && opens {
        alone("hedge", "sessions", format!("`{path}` hedges handshakes: a client would open two sessions"));
    }
    if let Some(key) = wired.filter(|_| opens) {
        alone(
            key,
            "sessions",
            format!("`{path}`: sessions are connections of their own, whose way is not played yet"),
        );
    }
    if let Some(key) = wired.filter(|_| hedge.is_some()) {
        alone("hedge", key, format!("`{path}`: hedges over connections of clients are not played yet"));
    }
    let resolved = table.finish();
    let traffic = (|| {
        let Replayed { arrivals, expected, doubtful } = arrivals?;
        let (retry, retry_budget) = retry?;
        Some(Traffic {
            name: entry.key.clone(),
            to: to?,
            arrivals,
            expected,
            doubtful,
            mix: mix?,
            timeout: timeout?,
            retry,
            retry_budget,
            hedge,
            clients,
            sessions: sessions?,
            clients_per_address,
            connections,
            network,
            status: status?,
        })
    })();
    (traffic, resolved)
}

/// What generates the arrivals, and the rate they are expected at.
fn arrivals(context: &Context<'_>, table: &mut Reader<'_>, path: &str) -> Option<Replayed> {
    let (profile, traced) = (table.node("profile"), table.node("trace"));
    let (spikes, dispersed) = (table.items("spikes"), table.node("dispersion").is_some());
    match (profile, traced) {
        (Some(node), None) => {
            let profile = self::profile(context, table, &format!("{path}.profile"), node);
            let spikes = self::spikes(context, table, &format!("{path}.spikes"), spikes);
            let dispersion = table.or("dispersion", 1.0);
            let base = profile?.rate(context.duration, context.time_of_day(), context.weekday());
            let rate = spikes?
                .iter()
                .fold(base.clone(), |sum, spike| sum.plus(&spike.extra(&base, context.duration)));
            let generator = RateArrivals::new(Arc::new(rate.clone()), dispersion);
            let generator = context.findings_if_err(generator, &table.place_of("dispersion"), |why| {
                format!("`dispersion`: {why}")
            })?;
            let arrivals = Arrivals::Rate(generator);
            Some(Replayed { arrivals, expected: rate, doubtful: Vec::new() })
        }
        (None, Some(node)) => {
            for key in ["spikes", "dispersion"] {
                if if key == "spikes" { !spikes.is_empty() } else { dispersed } {
                    let message =
                        format!("`{path}.{key}` does not go with a trace, which says when requests come");
                    context.findings.error(&table.place_of(key), message, "leave this out", None);
                }
            }
            replay(context, table, &format!("{path}.trace"), node)
        }
        (None, None) => {
            table.missing(
                "profile",
                "{ constant = \"100/s\" }, { day = … }, { week = … } or { points = … }; or `trace`",
            );
            None
        }
        (Some(_), Some(node)) => {
            let message = format!("`{path}` has a profile and a trace");
            context.findings.error(&node.place, message, "expected one of them", None);
            None
        }
    }
}

/// A profile, under the key `profile` of its table.
pub fn profile(context: &Context<'_>, table: &mut Reader<'_>, path: &str, node: &Node) -> Option<Profile> {
    let (kind, entry) = choice(context.findings, path, node, &["constant", "day", "week", "points"])?;
    let Some(entry) = entry else {
        context.findings.error(
            &node.place,
            format!("`{path}` needs parameters"),
            format!("expected `{{ {kind} = … }}`"),
            None,
        );
        return None;
    };
    let path = format!("{path}.{kind}");
    let (profile, shown) = match kind {
        "constant" => {
            let rate: Rate = read(context.findings, &path, &entry.node)?;
            (Some(Profile::Constant(rate.0)), rate.show())
        }
        "points" => points(context, &path, &entry.node)?,
        _ => {
            let mut options = Reader::new(context.findings, path.clone(), &entry.node);
            let profile = day_or_week(context, &mut options, kind == "week");
            (profile, toml::Value::Table(options.finish()))
        }
    };
    table.resolve("profile", toml::Table::from_iter([(kind.to_string(), shown)]));
    profile
}

fn day_or_week(context: &Context<'_>, options: &mut Reader<'_>, week: bool) -> Option<Profile> {
    const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let (low, peak) = (options.required::<Rate>("low"), options.required::<Rate>("peak"));
    let peak_at = options.required::<TimeOfDay>("peak_at");
    let opposite = peak_at.map_or(0, |at| at.0.as_nanos() + HALF_A_DAY * 1_000_000_000)
        % (2 * HALF_A_DAY * 1_000_000_000);
    let low_at = options.or("low_at", TimeOfDay(Span::from_nanos(opposite))).0;
    if let (Some(low), Some(peak)) = (low, peak)
        && low.0 > peak.0
    {
        let message = "the lowest rate is above the peak";
        context.findings.error(&options.place_of("low"), message, "expected at most the peak", None);
    }
    if peak_at.is_some_and(|at| at.0 == low_at) {
        context.findings.error(
            &options.place_of("low_at"),
            "the day is lowest when it is highest",
            "expected another time",
            None,
        );
    }
    let factors = week.then(|| {
        let empty = Node { place: options.place().clone(), value: Value::Table(Vec::new()) };
        let node = options.node("factors").unwrap_or(&empty);
        let mut days = Reader::new(context.findings, options.path_of("factors"), node);
        let factors = DAYS.map(|day| days.or(day, Factor(1.0)).0);
        options.resolve("factors", days.finish());
        factors
    });
    let (low, peak, peak_at) = (low?.0, peak?.0, peak_at?.0);
    Some(match factors {
        Some(factors) => Profile::Week { low, peak, low_at, peak_at, factors },
        None => Profile::Day { low, peak, low_at, peak_at },
    })
}

/// `{ at = [["0s", "10/s"], ["1h", "100/s"]], repeat = "24h" }`
fn points(context: &Context<'_>, path: &str, node: &Node) -> Option<(Option<Profile>, toml::Value)> {
    let mut options = Reader::new(context.findings, path, node);
    let repeat = options.optional::<Period>("repeat").map(|period| period.0);
    let Some(at) = options.node("at") else {
        options.missing("at", "[[\"0s\", \"10/s\"], [\"1h\", \"100/s\"]]");
        options.finish();
        return None;
    };
    let read =
        pairs::<Span, Rate>(context, &format!("{path}.at"), at, "[[\"0s\", \"10/s\"], [\"1h\", \"100/s\"]]");
    let read = read.unwrap_or_default();
    if read.is_empty() || !read.windows(2).all(|w| w[0].0 <= w[1].0) {
        context.findings.error(
            &at.place,
            format!("`{path}.at` must be points in the order of time"),
            "here",
            None,
        );
    }
    if let (Some(repeat), Some(last)) = (repeat, read.last())
        && last.0 > repeat
    {
        context.findings.error(
            &options.place_of("repeat"),
            "it repeats before its last point",
            "expected more",
            None,
        );
    }
    let rounds = repeat.map_or(1, |repeat| context.duration.as_nanos() / repeat.as_nanos() + 1);
    if rounds.saturating_mul(read.len() as u64) > MOST_KNOTS {
        let message = format!("`{path}` has more than {MOST_KNOTS} points within the run");
        context.findings.error(&at.place, message, "expected fewer, or a longer `repeat`", None);
        options.finish();
        return None;
    }
    let shown: Vec<toml::Value> =
        read.iter().map(|(at, rate)| toml::Value::Array(vec![at.show(), rate.show()])).collect();
    options.resolve("at", shown);
    let points = read.into_iter().map(|(at, rate)| (at, rate.0)).collect();
    Some((Some(Profile::Points { points, repeat }), toml::Value::Table(options.finish())))
}

fn spikes(context: &Context<'_>, table: &mut Reader<'_>, path: &str, items: &[Node]) -> Option<Vec<Spike>> {
    let (mut spikes, mut shown) = (Vec::new(), Vec::new());
    for (index, item) in items.iter().enumerate() {
        let mut spike = Reader::new(context.findings, format!("{path}.{index}"), item);
        let at = spike.required::<Moment>("at");
        let start = at.and_then(|at| context.moment(&at, &spike.place_of("at")));
        let height = spike.required::<SpikeHeight>("height");
        let rise = spike.or("rise", Span::from_secs(60));
        let hold = spike.or("hold", Span::from_secs(600));
        let decay = spike.or("decay", Span::from_secs(600));
        let path = spike.path_of("shape");
        let shape = spike.node("shape");
        let shape = shape.map_or(Some(("exponential", None)), |node| {
            choice(context.findings, &path, node, &["exponential", "linear"])
        });
        let shape = shape.map_or("exponential", |(name, _)| name);
        spike.resolve("shape", shape);
        shown.push(toml::Value::Table(spike.finish()));
        spikes.push((|| {
            Some(Spike {
                start: start?.since(Time::ZERO),
                rise,
                hold,
                decay,
                shape: if shape == "linear" { Decay::Linear } else { Decay::Exponential },
                height: height?.0,
            })
        })());
    }
    if !shown.is_empty() {
        table.resolve("spikes", shown);
    }
    spikes.into_iter().collect()
}

/// `"x5"`: five times as much; `"300/s"`: so much more.
struct SpikeHeight(Height);

impl Read for SpikeHeight {
    const EXPECTED: &'static str = "a factor such as \"x5\" or an extra rate such as \"300/s\"";
    fn read(value: &Value) -> Result<Self, String> {
        match value {
            Value::String(text) if text.starts_with('x') => match text[1..].parse::<f64>() {
                Ok(factor) if (1.0..=MOST_FACTOR).contains(&factor) => Ok(SpikeHeight(Height::Times(factor))),
                _ => Err(format!("`{text}` is not a factor from 1 to a million")),
            },
            other => Rate::read(other).map(|rate| SpikeHeight(Height::Extra(rate.0))),
        }
    }
    fn show(&self) -> toml::Value {
        match self.0 {
            Height::Times(factor) => toml::Value::String(format!("x{factor}")),
            Height::Extra(rate) => Rate(rate).show(),
        }
    }
}

/// Different clients, for balancers that tell them apart.
fn clients(context: &Context<'_>, table: &mut Reader<'_>) -> Option<u32> {
    let clients: Option<u32> = table.optional("clients");
    let count = clients?;
    if !(1..=Traffic::MOST_CLIENTS).contains(&count) {
        let label = format!("expected 1 to {}", Traffic::MOST_CLIENTS);
        context.findings.error(&table.place_of("clients"), format!("{count} clients"), label, None);
    }
    table.resolve("clients", i64::from(count));
    Some(count.clamp(1, Traffic::MOST_CLIENTS))
}

fn timeout(context: &Context<'_>, table: &mut Reader<'_>) -> Option<Option<Span>> {
    // Most HTTP clients give up after half a minute; a browser would wait longer than its user does.
    let default = Node { place: table.place().clone(), value: Value::String("30s".into()) };
    let node = table.node("timeout").unwrap_or(&default);
    if node.value == Value::String("none".into()) {
        table.resolve("timeout", "none");
        return Some(None);
    }
    let period: Period = read(context.findings, &table.path_of("timeout"), node)?;
    table.resolve("timeout", period.show());
    Some(Some(period.0))
}

fn retry(context: &Context<'_>, table: &mut Reader<'_>) -> Option<(Retry, Option<RetryBudget>)> {
    let empty = Node { place: table.place().clone(), value: Value::Table(Vec::new()) };
    let node = table.node("retry").unwrap_or(&empty);
    let mut options = Reader::new(context.findings, table.path_of("retry"), node);
    let max = options.or("max", 0u32);
    if max > u32::from(Retry::MOST) {
        let label = format!("expected 0 to {}", Retry::MOST);
        context.findings.error(&options.place_of("max"), "too many retries", label, None);
    }
    let backoff = options.or("backoff", Span::from_millis(100));
    let multiplier = options.or("multiplier", Positive(2.0)).0;
    if multiplier < 1.0 {
        context.findings.error(
            &options.place_of("multiplier"),
            "the backoff would get shorter",
            "expected 1 or more",
            None,
        );
    }
    let longest = options.or("max_backoff", Span::from_secs(20));
    let jitter = options.or("jitter", true);
    let budget = overload::budget(context, &mut options, max);
    table.resolve("retry", options.finish());
    let max = u8::try_from(max).unwrap_or(Retry::MOST);
    let backoff = Backoff { first: backoff, multiplier, max: longest, jitter };
    Some((Retry { max, backoff }, budget))
}

fn mix(
    context: &Context<'_>,
    names: &Names<'_>,
    table: &mut Reader<'_>,
    to: crate::plan::BalancerId,
    endpoints: &[Endpoint],
) -> Option<Vec<(EndpointId, f64)>> {
    let place = table.place_of("mix");
    let Some(node) = table.node("mix") else {
        let service = names.service_behind(to)?;
        let mut own =
            (0u16..).map(EndpointId).zip(endpoints).filter(|(_, endpoint)| endpoint.service == service);
        let (first, more) = (own.next(), own.next().is_some());
        if more {
            table.missing("mix", "which share of requests goes to which endpoint, { \"GET /\" = 0.9, … }");
        }
        let (id, endpoint) = first?;
        table.resolve("mix", toml::Table::from_iter([(endpoint.name.clone(), toml::Value::Float(1.0))]));
        return Some(vec![(id, 1.0)]);
    };
    let Value::Table(entries) = &node.value else {
        context.findings.error(
            &place,
            format!("`mix` is {}", node.value.kind()),
            "expected { \"GET /\" = 0.9, … }",
            None,
        );
        return None;
    };
    let (mut mix, mut shown) = (Vec::new(), toml::Table::new());
    for entry in entries {
        let path = format!("{}.\"{}\"", table.path_of("mix"), entry.key);
        let share: Option<Factor> = read(context.findings, &path, &entry.node);
        let endpoint = names.endpoint_behind(context, to, &entry.key, &entry.place, endpoints);
        if share.is_some_and(|share| share.0 == 0.0) {
            let label = "leave it out, or give it a share";
            context.findings.error(&entry.node.place, format!("`{path}` is zero"), label, None);
        }
        if let Some((share, endpoint)) = share.zip(endpoint) {
            shown.insert(entry.key.clone(), share.show());
            mix.push((endpoint, share.0));
        }
    }
    let total: f64 = mix.iter().map(|(_, share)| share).sum();
    if entries.is_empty() {
        context.findings.error(&place, "the mix is empty", "expected { \"GET /\" = 0.9, … }", None);
    }
    mix.iter_mut().for_each(|(_, share)| *share /= total);
    table.resolve("mix", shown);
    (!mix.is_empty()).then_some(mix)
}
