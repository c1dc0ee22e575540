//! What groups did, and what their operating systems counted.

use scalesim::results::{ForecastResult, Scheduling, SchedulingPart, SpotResult};

use super::{Summary, count, duration, short, sparkline, value};

/// Rows of vCPUs or of processes; of more, the one that waited most and the one that waited least.
const MOST_PARTS: usize = 8;

impl Summary<'_> {
    pub(super) fn groups(&mut self) {
        let run = self.run;
        for (index, group) in run.groups.iter().enumerate() {
            self.page.section(&format!("Group {} ({})", group.name, group.machine));
            let serving: Vec<f64> =
                run.series.iter().filter_map(|row| Some(f64::from(row.groups.get(index)?.serving))).collect();
            self.page.line(format!(
                "  instances {}  min {}  mean {:.1}  max {}   launched {}  terminated {}",
                sparkline(&serving, 32),
                group.serving_min,
                group.serving_mean,
                group.serving_max,
                group.launched,
                group.terminated
            ));
            let cpu: Vec<f64> =
                run.series.iter().filter_map(|row| Some(row.groups.get(index)?.cpu)).collect();
            let busiest = cpu.iter().copied().fold(0.0, f64::max);
            self.page.line(format!(
                "  CPU       {}  mean {:.0} %  busiest {} {:.0} %   {:.1} instance hours",
                sparkline(&cpu, 32),
                group.cpu,
                if run.interval == 60.0 {
                    "minute".to_string()
                } else {
                    format!("{} interval", duration(run.interval))
                },
                busiest,
                group.instance_hours
            ));
            if let Some(busy) = group.workers_busy {
                self.page.line(format!("  workers   {busy:.0} % of consumers at work on average"));
            }
            if let Some(gpu) = group.gpu {
                self.page
                    .line(format!("  GPUs      {gpu:.0} % of those of running instances in use on average"));
            }
            for forecast in run.forecasts.iter().filter(|forecast| forecast.group == group.name) {
                self.forecast(forecast);
            }
            if let Some(spot) = &group.spot {
                self.spot(spot);
            }
            let played = run.traffic.iter().any(|part| part.connections.is_some());
            if let Some(imbalance) = group.target_imbalance.filter(|_| played) {
                self.page.line(format!("  the busiest instance got {} times its share", short(imbalance)));
            }
            if let Some(imbalance) = group.worker_imbalance {
                self.page.line(format!(
                    "  the busiest worker of an instance got {} times its share",
                    short(imbalance)
                ));
            }
            if let Some(credits) = group.credits {
                self.page.line(format!("  {} CPU credits left on average", short(credits)));
            }
            if group.throttled > 0 {
                self.page.line(format!("  CPU quota ran out {} times", count(group.throttled as f64)));
            }
            if let Some(seen) = &group.scheduling {
                self.scheduling(seen);
            }
            if group.failed_starts > 0 {
                self.page.line(format!(
                    "  instances that came up without their app: {}",
                    count(group.failed_starts as f64)
                ));
            }
            self.versions(&group.name);
            if group.shed > 0 {
                self.page.line(format!("  {} requests shed", count(group.shed as f64)));
            }
            if group.refused > 0 {
                self.page.line(format!(
                    "  {} requests refused by full accept queues",
                    count(group.refused as f64)
                ));
            }
        }
    }

    /// What was forecast, and where it was most wrong.
    fn forecast(&mut self, forecast: &ForecastResult) {
        let known = || forecast.hours.iter().filter_map(|hour| Some((hour, hour.forecast?)));
        if known().next().is_none() {
            self.page.line(format!("  no forecast of {}: too little history", forecast.load));
            return;
        }
        let error =
            forecast.error.map_or(String::new(), |error| format!(", {} % off on average", short(error)));
        let only = if forecast.scales { "" } else { " (forecast only)" };
        self.page.line(format!(
            "  forecasts of {} from {} h of history{error}{only}",
            forecast.load, forecast.history
        ));
        let wrong = known().filter_map(|(hour, load)| {
            let came = hour.actual.filter(|&came| came > 0.0)?;
            Some((hour, load, came, (load - came).abs() / came))
        });
        if let Some((hour, load, came, _)) = wrong.max_by(|a, b| a.3.total_cmp(&b.3)) {
            let needs = hour.capacity.map_or(String::new(), |count| format!(", {count} instances"));
            self.page.line(format!(
                "    most wrong for the hour from {}: {} forecast{needs}, {} came",
                self.clock.time(hour.at),
                count(load),
                count(came)
            ));
        }
    }

    /// The nodes that pods ran on.
    pub(super) fn nodes(&mut self) {
        let run = self.run;
        for pool in &run.nodes {
            self.page.section(&format!("Nodes {} ({})", pool.name, pool.machine));
            self.page.line(format!(
                "  ready     mean {:.1}  max {}   added {}  removed {}  pods evicted {}",
                pool.ready_mean, pool.ready_max, pool.launched, pool.terminated, pool.evicted
            ));
            self.page.line(format!(
                "  pods ask for {:.0} % of what there is   {:.1} node hours",
                pool.asked, pool.node_hours
            ));
        }
    }

    /// The versions of a group beside each other.
    fn versions(&mut self, group: &str) {
        let run = self.run;
        for version in run.versions.iter().filter(|version| version.group == group) {
            let share = 100.0 * version.errors as f64 / version.requests.max(1) as f64;
            self.page.line(format!(
                "  {:<8}  {} instances launched   {} requests, {:.2} % errors   mean {}  p99 {}",
                version.version,
                count(version.launched as f64),
                count(version.requests as f64),
                share,
                value(version.response_time.mean, "s"),
                value(version.response_time.p99, "s")
            ));
        }
    }

    fn spot(&mut self, spot: &SpotResult) {
        let currency = self.run.bill.as_ref().map_or("", |bill| bill.currency.as_str());
        let saved = spot
            .saved
            .map_or(String::new(), |saved| format!(", {} less than On-Demand", value(saved, currency)));
        self.page.line(format!(
            "  Spot      {} % of instance hours{saved}   {} launched, {} notices, {} taken back, {} replaced before",
            short(100.0 * spot.share),
            spot.launched,
            spot.notices,
            spot.interrupted,
            spot.rebalanced
        ));
        if spot.requests_lost > 0 {
            self.page
                .line(format!("            {} requests lost with them", count(spot.requests_lost as f64)));
        }
    }

    fn scheduling(&mut self, seen: &Scheduling) {
        let all = &seen.all;
        self.page.line(format!(
            "  {} voluntary and {} involuntary context switches, {} migrations   {} vCPU s of switching   {} s of waiting in run queues",
            count(all.voluntary_switches as f64),
            count(all.involuntary_switches as f64),
            count(all.migrations as f64),
            short(all.switching),
            short(all.run_queue_wait)
        ));
        // One alone is all of it.
        let lists = [&seen.processes, &seen.vcpus].into_iter().filter(|parts| parts.len() > 1);
        for (index, parts) in lists.enumerate() {
            if index == 0 {
                self.page.line(format!(
                    "    {:<12} {:>10} {:>11} {:>10} {:>10} {:>10}",
                    "", "voluntary", "involuntary", "migrations", "waited", "work"
                ));
            }
            for part in notable(parts) {
                self.page.line(format!(
                    "    {:<12} {:>10} {:>11} {:>10} {:>10} {:>10}",
                    part.name,
                    count(part.counts.voluntary_switches as f64),
                    count(part.counts.involuntary_switches as f64),
                    count(part.counts.migrations as f64),
                    value(part.counts.run_queue_wait, "s"),
                    value(part.counts.work, "s")
                ));
            }
            if parts.len() > MOST_PARTS {
                self.page.line(format!("    and {} between, in results.json", parts.len() - 2));
            }
        }
    }
}

/// Those that are shown.
fn notable(parts: &[SchedulingPart]) -> Vec<&SchedulingPart> {
    if parts.len() <= MOST_PARTS {
        return parts.iter().collect();
    }
    let by_wait = |a: &&SchedulingPart, b: &&SchedulingPart| {
        a.counts.run_queue_wait.total_cmp(&b.counts.run_queue_wait)
    };
    parts.iter().max_by(by_wait).into_iter().chain(parts.iter().min_by(by_wait)).collect()
}
