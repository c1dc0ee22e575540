//! `[[incident]]` of the network: `network_latency` and `packet_loss`.

use sim_core::dist::Dist;
use sim_core::{Span, Time};

use super::reader::Reader;
use super::units::{Moment, Period};
use super::{Context, Names};
use crate::plan::{BalancerId, Incident, IncidentKind, When};

/// The longest that a packet may take more.
const MOST_ADDED: Span = Span::from_secs(60);

/// Reads the options of an incident of the network.
pub fn incident(
    context: &Context<'_>,
    names: &Names<'_>,
    kind: &str,
    table: &mut Reader<'_>,
) -> Option<Incident> {
    let (to, at, lasts) = where_and_when(context, names, table);
    if kind == "network_latency" {
        let add = table.required::<Period>("add").map(|period| period.0);
        if let Some(add) = add.filter(|add| *add > MOST_ADDED) {
            let label = format!("expected at most {MOST_ADDED}");
            context.findings.error(&table.place_of("add"), format!("{add} more each way"), label, None);
        }
        return of(IncidentKind::NetworkLatency { to: to?, add: add? }, at?, lasts?);
    }
    let share = table.required::<f64>("share");
    if let Some(share) = share.filter(|share| *share <= 0.0 || *share > 1.0) {
        let label = "expected a share above 0 and at most 1, such as 0.02";
        context.findings.error(&table.place_of("share"), format!("a share of {share}"), label, None);
    }
    of(IncidentKind::PacketLoss { to: to?, share: share? }, at?, lasts?)
}

fn of(kind: IncidentKind, at: Time, lasts: Span) -> Option<Incident> {
    let lasts = Dist::constant(lasts.as_nanos() as f64).ok()?;
    Some(Incident { kind, when: When::At(at), lasts: Some(lasts) })
}

fn where_and_when(
    context: &Context<'_>,
    names: &Names<'_>,
    table: &mut Reader<'_>,
) -> (Option<BalancerId>, Option<Time>, Option<Span>) {
    let to = table.required::<String>("to");
    let to = to.and_then(|name| names.balancer(context, &name, &table.place_of("to")));
    let at = table.required::<Moment>("at");
    let at = at.and_then(|at| context.moment(&at, &table.place_of("at")));
    (to, at, table.required::<Period>("for").map(|period| period.0))
}
