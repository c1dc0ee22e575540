//! Connections that stay open.

use scalesim::results::Run;
use scalesim::{Experiment, Scenario};

/// So many open websockets in equilibrium on 100 instances, each with so many messages a second, for so many seconds.
/// Sessions last 30 minutes, so that in each second one of 1 800 ends and another begins.
pub fn open(sessions: u32, messages: f64, seconds: f64) -> Scenario {
    let rate = f64::from(sessions) / 1_800.0;
    let text = format!(
        r#"
        [scenario]
        duration = "{seconds}s"
        [limits]
        in_flight = 2_000_000
        [traffic.clients]
        to = "front"
        profile = {{ constant = "{rate}/s" }}
        mix = {{ connect = 1 }}
        [traffic.clients.sessions]
        length = {{ exp = {{ mean = "30min" }} }}
        open = {sessions}
        messages = {{ say = "{up}/s" }}
        push = {{ hear = "{up}/s" }}
        [service.chat]
        runtime = "event-loop"
        endpoint.connect = {{ steps = [{{ cpu = "1ms" }}] }}
        endpoint.say = {{ steps = [{{ cpu = {{ exp = {{ mean = "100us" }} }} }}] }}
        endpoint.hear = {{ steps = [{{ cpu = "50us" }}] }}
        [machine.m]
        vcpus = 2
        [group.g]
        service = "chat"
        machine = "m"
        min = 100
        [balancer.front]
        targets = "g"
        "#,
        up = messages / 2.0
    );
    Scenario::parse(&text).expect("the scenario is sound")
}

/// Plays it.
pub fn play(scenario: &Scenario) -> Run {
    Experiment::new(scenario).run().run
}
