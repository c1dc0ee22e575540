//! The scalesim command.
use scalesim::*;
fn main() {
    let path = std::env::args().nth(1).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let s = match Scenario::read(&path, &text, &[], &NoFiles) { Ok(s) => s, Err(d) => { print!("{}", d.render(false)); return } };
    let t = std::time::Instant::now();
    let r = Experiment::new(&s).run();
    let e = t.elapsed().as_secs_f64();
    println!("{}", s.resolved());
    for v in &r.run.activities { println!("{:8.0} {:8.0} x{} {:?} d={} {}", v.at, v.until, v.times, v.kind, v.desired, v.description); }
    for o in &r.run.objectives { println!("{} {} viol {} worst {:?}", o.name, o.met, o.violation_minutes, o.worst); for v in &o.violations { println!("  {:?} {:?} {}", v.window, v.cause, v.explanation);} }
    println!("{:#?}", r.run.requests); println!("{:#?}", r.run.groups); println!("{:#?}", r.run.bill); println!("{:#?}", r.run.response_time);
    println!("{} events {:.2}s {:.2} M req/s; hash {} notes {:?}", r.run.events, e, r.run.requests.offered as f64/e/1e6, r.run.order_hash, r.notes);
}
