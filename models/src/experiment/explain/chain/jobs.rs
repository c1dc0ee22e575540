//! Jobs that waited for workers.

use super::{Link, LinkKind, Scene, count, rate, span};
use crate::measure::{JobFacts, MinuteFacts};

impl Scene<'_> {
    fn jobs(&self) -> impl DoubleEndedIterator<Item = (f64, &MinuteFacts, &JobFacts)> + Clone {
        self.all().filter_map(|(at, minute)| Some((at, minute, minute.jobs.as_deref()?)))
    }

    /// How the queue grew, and who was there to work on it.
    pub(super) fn backlog(&self) -> Vec<Link> {
        let all = self.jobs();
        let Some((at, minute, most)) =
            all.clone().reduce(|a, b| if b.2.visible > a.2.visible { b } else { a })
        else {
            return Vec::new();
        };
        let before = all.clone().take_while(|(begins, ..)| *begins <= at);
        let low = before.reduce(|a, b| if b.2.visible < a.2.visible { b } else { a });
        let mut links = Vec::new();
        if let Some((low_at, _, low)) = low.filter(|low| low.2.visible < most.visible) {
            let sent: u64 =
                all.clone().filter(|(begins, ..)| (low_at..=at).contains(begins)).map(|one| one.2.sent).sum();
            let done: u64 = all
                .clone()
                .filter(|(begins, ..)| (low_at..=at).contains(begins))
                .map(|one| one.2.consumed)
                .sum();
            let text = format!(
                "the queue of {} grew from {} at {} to {} at {}: {sent} came and {done} were done in {}",
                self.group.name,
                count(low.visible, "message"),
                self.clock(low_at + 60.0),
                count(most.visible, "message"),
                self.clock(at + 60.0),
                span(at + 60.0 - low_at)
            );
            links.push(self.link(low_at, LinkKind::Backlog, text));
        }
        let text = format!(
            "the oldest message was {} old; {} of {} desired instances took jobs, with {}, {:.0} of them busy, {} done",
            span(most.oldest),
            most.workers,
            minute.desired,
            count(u64::from(most.consumers), "consumer"),
            most.busy,
            rate(most.pace)
        );
        links.push(self.link(at, LinkKind::Capacity, text));
        let cut: u64 = all.clone().map(|one| one.2.cut).sum();
        if let Some((first, ..)) = all.clone().find(|one| one.2.cut > 0) {
            let again: u64 = all.map(|one| one.2.again).sum();
            let tries = if cut == 1 { "1 try was".to_string() } else { format!("{cut} tries were") };
            let text = format!(
                "{tries} cut, as their worker went away; {again} deliveries were of messages delivered before"
            );
            links.push(self.link(first, LinkKind::Incident, text));
        }
        links
    }

    /// How the queue was worked off, where it had grown.
    pub(super) fn worked_off(&self) -> Option<Link> {
        let most = self.jobs().map(|one| one.2.visible).max()?;
        let after = self.facts.get((self.to / 60.0).ceil() as usize).or(self.facts.last())?;
        let jobs = after.jobs.as_ref()?;
        let text = format!(
            "kept again: {} waited, of {most} at the worst, and {} worked on them",
            count(jobs.visible, "message"),
            count(u64::from(jobs.consumers), "consumer")
        );
        Some(self.link(self.to, LinkKind::Recovery, text))
    }
}
