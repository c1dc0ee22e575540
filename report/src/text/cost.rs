//! The bill, and what would have been enough.

use scalesim::results::{BillKind, BillLine, OracleGroup};

use super::{Summary, count, short, sparkline, value};

impl Summary<'_> {
    pub(super) fn cost(&mut self) {
        let Some(bill) = &self.run.bill else { return };
        self.page.section(&format!("Cost ({}, prices of {})", bill.prices, bill.date));
        for line in &bill.lines {
            self.bill_line(line, &bill.currency);
        }
        let played = self.results.duration.max(1.0);
        let monthly = bill.total / played * 86_400.0 * 30.0;
        self.page.line(format!(
            "  {:<40} {:>48}",
            "total",
            format!(
                "{} ({} in 30 such days)",
                value(bill.total, &bill.currency),
                value(monthly, &bill.currency)
            )
        ));
        if !bill.left_out.is_empty() {
            self.page.line(format!("      not in it: {}", bill.left_out));
        }
        self.by_hour();
    }

    fn bill_line(&mut self, line: &BillLine, currency: &str) {
        self.page.line(format!(
            "  {:<40} {:>10} {:<15} × {:<8} {:>11}",
            line.item,
            short(line.quantity),
            line.unit,
            price(line.price),
            value(line.amount, currency)
        ));
        self.page.line(format!("      {}", line.assumption));
    }

    /// The hours of each kind of line, where there are enough of them to have a course.
    fn by_hour(&mut self) {
        let Some(bill) = &self.run.bill else { return };
        let kinds: Vec<(BillKind, Vec<f64>)> = BillKind::ALL
            .iter()
            .map(|&kind| (kind, bill.by_hour(kind)))
            .filter(|(_, hours)| hours.len() > 2)
            .collect();
        if kinds.is_empty() {
            return;
        }
        self.page.line("");
        for (kind, hours) in kinds {
            let (least, most) = hours
                .iter()
                .fold((f64::INFINITY, 0.0f64), |(least, most), &hour| (least.min(hour), most.max(hour)));
            self.page.line(format!(
                "  {:<24} {}  {} to {} an hour",
                kind.name(),
                sparkline(&hours, 32),
                value(least, &bill.currency),
                value(most, &bill.currency)
            ));
        }
    }

    pub(super) fn oracle(&mut self) {
        let Some(oracle) = &self.run.oracle else { return };
        self.page.section("The smallest fleet at each moment");
        for group in &oracle.groups {
            self.oracle_group(group);
        }
        let currency = self.run.bill.as_ref().map_or("", |bill| bill.currency.as_str());
        if let (Some(cost), Some(paid), Some(regret)) = (oracle.cost, oracle.paid, oracle.regret()) {
            let words = if regret >= 0.0 { "more" } else { "less" };
            self.page.line(format!(
                "  it would have cost {}; the instances there were cost {}, {} {words}",
                value(cost, currency),
                value(paid, currency),
                value(regret.abs(), currency)
            ));
        }
        self.page.line("  by closed forms for a random balancer, on the recorded load, without start-up, warm-up or failures");
    }

    fn oracle_group(&mut self, group: &OracleGroup) {
        if group.carries <= 0.0 {
            let words = format!(
                "  {}: no fleet keeps `{}`: one idle instance breaks it",
                group.group, group.limited_by
            );
            return self.page.line(words);
        }
        self.page.line(format!(
            "  {}: {:.1} instance hours, as one instance carries {} requests/s within `{}`",
            group.group,
            group.instance_hours,
            count(group.carries),
            group.limited_by
        ));
        self.page.line(format!(
            "      {:.1} h more were there than needed; {:.1} h were missing, in {} min",
            group.hours_above,
            group.hours_short,
            short(group.minutes_short)
        ));
    }
}

/// A price, with as many digits as a list has.
fn price(price: f64) -> String {
    let rounded = format!("{price:.8}");
    rounded.trim_end_matches('0').trim_end_matches('.').to_string()
}
