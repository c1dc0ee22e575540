//! `[cost]`: the price book, what was committed to, and what else is to be on the bill.

use super::Context;
use super::diagnostic::nearest_or_all;
use super::node::Value;
use super::reader::{Read, Reader};
use super::{Names, units::Positive};
use crate::cost::{BUILT_IN, PriceBook, Reserved, SavingsPlan, Terms};

/// Money for an hour, written `"1.5/h"`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct AnHour(f64);

impl Read for AnHour {
    const EXPECTED: &'static str = "an amount for an hour such as \"1.5/h\"";
    fn read(value: &Value) -> Result<Self, String> {
        let Value::String(text) = value else { return Err(String::new()) };
        let bad = || format!("`{text}` is not an amount for an hour");
        let (amount, per) = text.split_once('/').ok_or_else(bad)?;
        if !matches!(per.trim(), "h" | "hour") {
            return Err(bad());
        }
        match amount.trim().parse::<f64>() {
            Ok(amount) if amount.is_finite() && amount >= 0.0 => Ok(AnHour(amount)),
            Ok(_) => Err(format!("`{text}` is negative or not finite")),
            Err(_) => Err(bad()),
        }
    }
    fn show(&self) -> toml::Value {
        toml::Value::String(format!("{}/h", self.0))
    }
}

/// Reads the price book, which machines are looked up in. The rest of the table waits for [`terms`].
pub fn prices(context: &Context<'_>, root: &mut Reader<'_>) -> Option<PriceBook> {
    let mut table = Reader::new(context.findings, "cost", root.node("cost")?);
    let name = table.required::<String>("prices");
    let place = table.place_of("prices");
    let name = name?;
    if let Some(book) = PriceBook::built_in(&name) {
        return Some(book);
    }
    if !name.contains(['/', '.']) {
        let help = Some(nearest_or_all(&name, &[BUILT_IN]) + ", or write a path to a file");
        context.findings.error(
            &place,
            format!("there is no price book `{name}`"),
            "unknown price book",
            help,
        );
        return None;
    }
    let mut text = String::new();
    let read =
        context.files.open(&name).and_then(|mut file| std::io::Read::read_to_string(&mut file, &mut text));
    context.findings_if_err(read, &place, |error| format!("cannot read the price book `{name}`: {error}"))?;
    context.findings_if_err(PriceBook::parse(&text), &place, |error| {
        format!("the price book `{name}` is wrong: {}", error.message())
    })
}

/// Reads what goes beside the price book.
pub fn terms(context: &Context<'_>, names: &Names<'_>, root: &mut Reader<'_>) -> Terms {
    let Some(node) = root.node("cost").filter(|node| matches!(node.value, Value::Table(_))) else {
        return Terms::default(); // what is no table has been told by `prices`
    };
    let mut table = Reader::new(context.findings, "cost", node);
    if let Some(prices) = table.node("prices") {
        // It has been read, and said what is wrong with it.
        if let Value::String(name) = &prices.value {
            table.resolve("prices", name.clone());
        }
    }
    let terms = Terms {
        savings_plan: savings_plan(context, &mut table),
        reserved: reserved(context, names, &mut table),
        data_transfer: table.or("data_transfer", false),
        cloudwatch: table.or("cloudwatch", false),
    };
    root.resolve("cost", table.finish());
    terms
}

/// `savings_plan = { commitment = "1.5/h", discount = 0.3 }`
fn savings_plan(context: &Context<'_>, table: &mut Reader<'_>) -> Option<SavingsPlan> {
    let path = table.path_of("savings_plan");
    let mut plan = Reader::new(context.findings, path, table.node("savings_plan")?);
    let commitment = plan.required::<AnHour>("commitment");
    let discount = plan.required::<f64>("discount");
    if let Some(discount) = discount.filter(|discount| !(0.0..1.0).contains(discount)) {
        let message = format!("`{}` is {discount}", plan.path_of("discount"));
        let label = "expected a share of the price from 0 to below 1, such as 0.3";
        context.findings.error(&plan.place_of("discount"), message, label, None);
    }
    let shown = plan.finish();
    table.resolve("savings_plan", shown);
    Some(SavingsPlan { commitment: commitment?.0, discount: discount?.clamp(0.0, 1.0) })
}

/// `reserved = [{ machine = "c6i.large", count = 2, hourly = 0.054 }]`
fn reserved(context: &Context<'_>, names: &Names<'_>, table: &mut Reader<'_>) -> Vec<Reserved> {
    let path = table.path_of("reserved");
    let (mut all, mut shown) = (Vec::new(), Vec::new());
    for (index, item) in table.items("reserved").iter().enumerate() {
        let mut own = Reader::new(context.findings, format!("{path}.{index}"), item);
        let machine = own.required::<String>("machine");
        let place = own.place_of("machine");
        let machine = machine.and_then(|name| names.machine(context, &name, &place));
        let count = own.or("count", 1u32);
        if count == 0 {
            let message = "a reservation of no instance";
            context.findings.error(&own.place_of("count"), message, "expected 1 or more", None);
        }
        let hourly = own.required::<Positive>("hourly");
        shown.push(toml::Value::Table(own.finish()));
        if let (Some(machine), Some(hourly)) = (machine, hourly) {
            all.push(Reserved { machine: machine.name, count, hourly: hourly.0 });
        }
    }
    if !shown.is_empty() {
        table.resolve("reserved", shown);
    }
    all
}

/// `volume = { gib = 20, price = 0.08 }` of a group: the size, and what a GiB costs for a month.
pub fn volume(context: &Context<'_>, table: &mut Reader<'_>, usual: f64) -> Option<crate::plan::Volume> {
    let path = table.path_of("volume");
    let mut volume = Reader::new(context.findings, path, table.node("volume")?);
    let gib = volume.required::<Positive>("gib");
    let price = volume.or("price", usual);
    let shown = volume.finish();
    table.resolve("volume", shown);
    Some(crate::plan::Volume { gib: gib?.0, price })
}
