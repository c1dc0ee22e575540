//! Between clients and servers: whom balancers pick, and what that does.

use scalesim::results::Results;
use scalesim::{Experiment, Scenario};

/// Plays a group of event loops whose requests take 10 ms, behind a balancer, for 300 clients.
fn play(rate: &str, balancer: &str, group: &str) -> Results {
    let text = format!(
        r#"
        scenario.duration = "40min"
        traffic.t = {{ to = "b", profile = {{ constant = "{rate}" }}, clients = 300, timeout = "none" }}
        [service.s]
        runtime = {{ event-loop = {{ overhead = "0s", accept_queue = 100000 }} }}
        endpoint.e.steps = [{{ cpu = {{ exp = {{ mean = "10ms" }} }} }}]
        [machine.one]
        vcpus = 1
        [group.g]
        service = "s"
        machine = "one"
        startup = {{ provision = "1s", boot = "1s", app = "1s" }}
        {group}
        [balancer.b]
        targets = "g"
        health_check = {{ interval = "5s", timeout = "2s" }}
        {balancer}
        "#
    );
    let scenario = Scenario::parse(&text).unwrap_or_else(|errors| panic!("{errors}"));
    Experiment::new(&scenario).run()
}

/// Means over the rows of the last ten minutes, in milliseconds.
fn late(results: &Results) -> f64 {
    let rows = results.run.series.iter().filter(|row| row.at >= 1_800.0).filter_map(|row| row.p50);
    let (sum, count) = rows.fold((0.0, 0), |(sum, count), p50| (sum + p50, count + 1));
    1e3 * sum / f64::from(count)
}

/// A second instance comes after ten minutes. Clients that stick to the first leave it empty: for them nothing gets better.
#[test]
fn a_new_instance_gets_nobody_who_sticks_to_another() {
    let group = "min = 1\nmax = 2\nscaling = [{ scheduled = { at = \"10min\", desired = 2 } }]";
    let free = play("85/s", "", group);
    let sticky = play("85/s", "stickiness = { lb_cookie = \"1day\" }", group);
    let short = play("85/s", "stickiness = { lb_cookie = \"1s\" }", group);
    // One queue at 85 %: a median of ln 2 / (1 − 0.85) services, 46 ms; two at 42.5 %: 12 ms.
    assert!((10.0..14.0).contains(&late(&free)), "{}", late(&free));
    assert!(late(&sticky) > 35.0, "{}", late(&sticky));
    // A client comes every 3.5 s, so that most cookies of a second are over by then.
    assert!((10.0..20.0).contains(&late(&short)), "{}", late(&short));
}

/// Three hundred clients on four instances: by a hash some instance gets more of them than its share, and its queue is the
/// longest; whoever looks at the load does better.
#[test]
fn a_hash_does_not_look_at_the_load() {
    let p99 = |algorithm: &str| {
        let balancer = format!("algorithm = {algorithm}");
        play("300/s", &balancer, "min = 4").run.response_time.p99
    };
    let (turns, least) = (p99("\"round-robin\""), p99("\"least-outstanding-requests\""));
    assert!(least < turns, "{least} and {turns}");
    for hash in ["\"ip-hash\"", "\"ring-hash\"", "\"maglev\""] {
        assert!(p99(hash) > 1.3 * turns, "{hash}: {} and {turns}", p99(hash));
    }
    for choices in ["\"peak-ewma\"", "{ peak-ewma = { decay = \"1s\" } }", "{ power-of-choices = 3 }"] {
        let p99 = p99(choices);
        assert!(p99 < turns, "{choices}: {p99} and {turns}");
    }
    let (two, four) = (p99("\"power-of-two-choices\""), p99("{ power-of-choices = 4 }"));
    assert!(four < two, "all four: {four} and {two}");
}

/// The same client at every attempt, and a client's share of the requests is an even one.
#[test]
fn one_client_is_one_target() {
    let balancer = "algorithm = \"maglev\"";
    let text = play("50/s", balancer, "min = 4").resolved.replace("clients = 300", "clients = 1");
    let alone = Experiment::new(&Scenario::parse(&text).unwrap()).run();
    // All of one client's requests go to one of four instances: half of one vCPU, an eighth of all.
    let cpu = alone.run.groups[0].cpu;
    assert!((11.5..13.5).contains(&cpu), "{cpu}");
    let one_queue = alone.run.response_time.mean;
    assert!((0.018..0.022).contains(&one_queue), "M/M/1 at a half: 20 ms, and {one_queue}");
}
