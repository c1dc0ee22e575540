//! Sessions (websockets) and rooms: how many are open, what messages take, what is lost and how it comes back.

use std::sync::Arc;

use proptest::prelude::*;
use scalesim::results::{Outcome, Run, SessionsResult};
use scalesim::system::System;
use scalesim::theory::Mmc;
use scalesim::{Experiment, Scenario};
use sim_core::{Seed, Simulation, Span, Time};

/// A game whose sessions are `sessions`, with more keys for its tables.
struct Game {
    duration: &'static str,
    rate: &'static str,
    retry: &'static str,
    sessions: &'static str,
    service: &'static str,
    group: &'static str,
    balancer: &'static str,
    more: &'static str,
}

impl Default for Game {
    fn default() -> Self {
        Game {
            duration: "1h",
            rate: "10/s",
            retry: "{ max = 10, backoff = \"1s\" }",
            sessions: "length = { exp = { mean = \"5min\" } }",
            service: "",
            group: "min = 2",
            balancer: "",
            more: "",
        }
    }
}

impl Game {
    fn text(&self) -> String {
        let Game { duration, rate, retry, sessions, service, group, balancer, more } = self;
        format!(
            r#"
            [scenario]
            duration = "{duration}"
            [traffic.players]
            to = "front"
            profile = {{ constant = "{rate}" }}
            mix = {{ connect = 1 }}
            retry = {retry}
            [traffic.players.sessions]
            {sessions}
            [service.game]
            runtime = {{ event-loop = {{ overhead = "0s", accept_queue = 100000 }} }}
            endpoint.connect = {{ steps = [{{ cpu = "1ms" }}] }}
            endpoint.move = {{ steps = [{{ cpu = {{ exp = {{ mean = "5ms" }} }} }}] }}
            endpoint.state = {{ steps = [{{ cpu = "0.1ms" }}] }}
            {service}
            [machine.one]
            vcpus = 1
            memory = "4 GiB"
            [group.g]
            service = "game"
            machine = "one"
            startup = {{ provision = "1s", boot = "1s", app = "1s" }}
            monitoring = "detailed"
            {group}
            [balancer.front]
            targets = "g"
            health_check = {{ interval = "5s", timeout = "2s" }}
            {balancer}
            {more}
            "#
        )
    }

    fn scenario(&self) -> Scenario {
        let text = self.text();
        Scenario::parse(&text).unwrap_or_else(|errors| panic!("{errors}"))
    }

    fn play(&self) -> Run {
        Experiment::new(&self.scenario()).run().run
    }
}

fn accounted(sessions: &SessionsResult) {
    let s = sessions;
    assert_eq!(s.open_at_start + s.opened + s.reconnected, s.ended + s.dropped + s.open_at_end, "{s:?}");
    assert!(s.dropped >= s.reconnected + s.left_meanwhile + s.gave_up, "{s:?}");
}

/// L = λW: so many are open as come in the length of a session, whatever its distribution; and Poisson's variance says how
/// far a mean over the run may be off.
#[test]
fn open_sessions_follow_littles_law() {
    let lengths = [
        "length = \"5min\"",
        "length = { exp = { mean = \"5min\" } }",
        "length = { hyperexp = { mean = \"5min\", scv = 4 } }",
    ];
    for sessions in lengths {
        let sessions = format!("{sessions}\nopen = 3000");
        let run = Game { duration: "3h", sessions: &*sessions.leak(), ..Game::default() }.play();
        let seen = &run.sessions[0];
        accounted(seen);
        // The mean of M/G/∞ over a time T has a variance of at most 2 L W (1 + c²) / 2 T, here 2 × 3000 × 300 × 2.5 / 10800.
        assert!((seen.open_mean - 3_000.0).abs() < 4.0 * 20.5, "{}: {}", seen.open_mean, seen.name);
        // Those at the start are as if met in progress: none of them makes the first minutes any different.
        let early = run.series.iter().find(|row| row.at >= 60.0).unwrap().groups[0].sessions;
        assert!((f64::from(early) - 3_000.0).abs() < 4.0 * 55.0, "{early}");
        assert!(seen.imbalance_mean.unwrap() < 1.05, "{:?}", seen.imbalance_mean);
    }
}

/// Messages of many sessions are Poisson, so that one event loop is M/M/1; pushes are as many as they should be.
#[test]
fn messages_are_poisson_and_a_loop_is_a_queue() {
    let text = Game {
        duration: "2h",
        rate: "0/s",        sessions: "length = \"1000h\"\nopen = 600\nmessages = { move = \"0.25/s\" }\npush = { state = \"0.1/s\" }",
        service: "",
        group: "min = 1",
        ..Game::default()
    }
    .text()
    // Pushes that need nothing leave the queue to the moves.
    .replace("{ cpu = \"0.1ms\" }", "{ wait = \"1ms\" }");
    let run = Experiment::new(&Scenario::parse(&text).unwrap()).run().run;
    // Of 600 sessions with 1000 h to go one or two end within the run.
    let moves = &run.endpoints[1];
    let rate = moves.requests.completed as f64 / 7_200.0;
    let theory = Mmc::new(rate, 200.0, 1).unwrap().mean_sojourn();
    let seen = moves.response_time.mean;
    assert!((seen / theory - 1.0).abs() < 0.05, "{seen} and {theory} at {rate}/s");
    let sessions = &run.sessions[0];
    let per_session = sessions.messages as f64 / (sessions.open_mean * 7_200.0);
    assert!((per_session / 0.25 - 1.0).abs() < 0.005, "{per_session}");
    let pushed = sessions.pushes as f64 / (sessions.open_mean * 7_200.0);
    assert!((pushed / 0.1 - 1.0).abs() < 0.01, "{pushed}");
    assert_eq!(sessions.messages, moves.requests.offered);
    assert!(run.requests.conserved());
}

/// Connections stay where they are: a fleet that doubles is as uneven as it can be, and only turnover evens it out, by half
/// in the time in which half of the sessions end. Who looks at connections sends newcomers to the new ones.
#[test]
fn scale_out_leaves_new_instances_empty() {
    let play = |balancer: &'static str| {
        Game {
            duration: "30min",
            sessions: "length = { exp = { mean = \"10min\" } }\nopen = 6000",
            group: "min = 4\nmax = 8\nscaling = [{ manual = { at = \"10min\", desired = 8 } }]",
            balancer,
            ..Game::default()
        }
        .play()
    };
    let turns = play("");
    let seen = &turns.sessions[0];
    // Sampled at the end of the minute: 3 s of start and up to 5 s for the first check, then less than a minute of turnover.
    assert!((1.7..2.0).contains(&seen.imbalance_worst), "{}", seen.imbalance_worst);
    assert!((660.0..=720.0).contains(&seen.imbalance_worst_at), "{}", seen.imbalance_worst_at);
    let end = seen.imbalance_at_end.unwrap();
    // After 19.9 of 10 minutes e^(-1.99) of the surplus is left.
    assert!((1.08..1.25).contains(&end), "{end}");
    let least = play("algorithm = \"least-outstanding-requests\"");
    assert!(least.sessions[0].imbalance_at_end.unwrap() < 1.03, "{:?}", least.sessions[0].imbalance_at_end);
    assert_eq!(seen.dropped + least.sessions[0].dropped, 0);
}

fn storm(jitter: bool, backoff: &'static str) -> Run {
    let retry = format!("{{ max = 10, backoff = \"{backoff}\", jitter = {jitter}, max_backoff = \"1min\" }}");
    Game {
        duration: "20min",
        rate: "0.1/s",
        retry: retry.leak(),
        sessions: "length = \"20h\"\nopen = 4000",
        group: "min = 2\ndesired = 4\nmax = 4\nscaling = [{ manual = { at = \"10min\", desired = 2 } }]",
        balancer: "deregistration_delay = \"1min\"",
        ..Game::default()
    }
    .play()
}

/// Two of four instances go, and half of all clients come back. Without jitter all of them in the same second, with full
/// jitter over the whole backoff.
#[test]
fn scale_in_makes_a_reconnect_storm_and_jitter_spreads_it() {
    let (sharp, spread) = (storm(false, "20s"), storm(true, "20s"));
    for run in [&sharp, &spread] {
        let seen = &run.sessions[0];
        accounted(seen);
        assert!((1_950..2_100).contains(&seen.dropped), "{}", seen.dropped);
        assert_eq!(seen.dropped, seen.reconnected + seen.left_meanwhile);
        let cut = |what: &&scalesim::results::Activity| what.description.contains("open sessions were cut");
        assert_eq!(run.activities.iter().filter(cut).count(), 2);
    }
    let peaks = [&sharp, &spread].map(|run| run.sessions[0].handshakes_peak);
    assert!(peaks[0] >= 900, "all of an instance at once: {}", peaks[0]);
    // 2000 over 20 s are 100 a second, of which 145 are four and a half standard deviations away.
    assert!((100..145).contains(&peaks[1]), "{}", peaks[1]);
    let times = [&sharp, &spread].map(|run| run.sessions[0].reconnect_time);
    assert!(times[0].mean > 20.0 && (9.0..11.5).contains(&times[1].mean), "{times:?}");
    // The handshakes of the storm wait in the accept queues: 1000 of 1 ms each at each of those that are left.
    let waited = [&sharp, &spread].map(|run| run.endpoints[0].response_time.p99);
    assert!(waited[0] > 0.5 && waited[1] < 0.05, "{waited:?}");
}

/// A draining instance keeps what it has until the delay is over, and is gone at once when the last session ends.
#[test]
fn a_draining_instance_waits_for_its_sessions() {
    let run = Game {
        duration: "40min",
        sessions: "length = \"2min\"\nopen = 1200",
        group: "min = 1\ndesired = 2\nmax = 2\nscaling = [{ manual = { at = \"10min\", desired = 1 } }]",
        balancer: "deregistration_delay = \"30min\"",
        ..Game::default()
    }
    .play();
    let drained = run.series.iter().filter(|row| row.groups[0].draining > 0);
    let drained: Vec<f64> = drained.map(|row| row.at).collect();
    let (first, last) = (drained[0], drained[drained.len() - 1]);
    assert!((595.0..=605.0).contains(&first) && (710.0..=725.0).contains(&last), "{first} to {last}");
    assert_eq!(run.sessions[0].dropped, 0);
}

#[test]
fn an_instance_takes_so_many_connections_and_no_more() {
    let run = Game {
        rate: "20/s",
        sessions: "length = { exp = { mean = \"5min\" } }",
        service: "most_connections = 1000",
        group: "min = 4",
        retry: "{ max = 1, backoff = \"1s\" }",
        ..Game::default()
    }
    .play();
    let seen = &run.sessions[0];
    accounted(seen);
    assert_eq!(seen.most_at_an_instance, 1_000);
    assert!((3_990..=4_000).contains(&seen.open_peak), "{}", seen.open_peak);
    // Erlang's loss formula, with retries as more load: 6000 erlangs offered to 4000.
    assert!(seen.refused > 20_000 && seen.never_opened > 10_000, "{seen:?}");
    let refused = run.traffic[0].statuses.iter().find(|status| status.status == "503").unwrap();
    assert_eq!(refused.count, run.requests.refused);
    assert_eq!(run.requests.refused, seen.never_opened);
}

/// 4 GiB hold 1 GiB of process and so many connections of 1 MiB: one more, and the server is killed with all of them.
#[test]
fn connections_that_do_not_fit_into_memory_kill_the_server() {
    let game = |rate: &'static str| Game {
        duration: "20min",
        rate,
        sessions: "length = \"10min\"\nreconnect = false",
        service: "memory = { process = \"1 GiB\", request = \"1 MiB\", connection = \"1 MiB\" }",
        group: "min = 1",
        ..Game::default()
    };
    let fits = game("4.5/s").play();
    assert_eq!(fits.sessions[0].dropped, 0, "2700 of 3072 MiB");
    let killed = game("6/s").play();
    let seen = &killed.sessions[0];
    accounted(seen);
    assert!((3_060..=3_072).contains(&seen.dropped), "{}", seen.dropped);
    assert_eq!(seen.dropped, seen.gave_up);
    let crash =
        killed.activities.iter().find(|activity| activity.description.contains("ran out of its 4 GiB"));
    assert!(crash.unwrap().description.contains("open sessions"), "{crash:?}");
    assert_eq!(seen.open_at_end, 0);
}

/// A policy that tracks connections keeps them near its target, by size; new instances are empty all the same.
#[test]
fn a_group_scales_on_open_sessions() {
    let run = Game {
        duration: "2h",
        rate: "20/s",
        sessions: "length = { exp = { mean = \"5min\" } }",
        group: "min = 1\nmax = 20\ninstance_warmup = \"30s\"\nscaling = [{ target_tracking = { metric = \"connections_per_target\", target = 1000 } }]",
        balancer: "algorithm = \"least-outstanding-requests\"",
        ..Game::default()
    }
    .play();
    // 6000 sessions at 1000 each.
    let serving = run.series.last().unwrap().groups[0].serving;
    assert!((6..=7).contains(&serving), "{serving}");
    assert!(run.activities.iter().any(|activity| activity.description.contains("open sessions by target")));
}

fn rooms(start: &'static str, rate: &'static str) -> Run {
    let sessions = format!(
        "length = {{ exp = {{ mean = \"3min\" }} }}\nmessages = {{ state = \"0.1/s\" }}\nrooms = {{ players = 8, start = {start} }}"
    );
    Game { rate, sessions: sessions.leak(), group: "min = 4", ..Game::default() }.play()
}

/// Rooms that wait until they are full are full; the mean wait is that of the first to the last of eight arrivals.
#[test]
fn full_rooms_wait_for_their_last_player() {
    let run = rooms("\"full\"", "4/s");
    accounted(&run.sessions[0]);
    let seen = run.sessions[0].rooms.as_ref().unwrap();
    assert_eq!((seen.started_short, seen.dropped, seen.fill_mean), (0, 0, 1.0));
    assert_eq!(seen.opened, seen.started_full + u64::from(!run.sessions[0].opened.is_multiple_of(8)));
    // Seven gaps for the first, none for the last: 3.5 gaps of a quarter of a second, and the last handshake of 1 ms.
    let players = run.sessions[0].opened as f64;
    let error = 4.0 * 0.25 * (8.0 * 7.0 / 12.0f64).sqrt() * (8.0 / players).sqrt() * 2.0;
    assert!((seen.wait.mean - 3.5 * 0.25).abs() < error + 0.002, "{} ± {error}", seen.wait.mean);
    // 4/s for 3 min in the room, and the wait before it.
    let open = run.sessions[0].open_mean / (4.0 * (180.0 + seen.wait.mean));
    assert!((0.88..1.02).contains(&open), "{open} of what Little says, with an hour that begins empty");
}

/// With a wait of five gaps most rooms start short: 1 + a Poisson number of players with a mean of 5, of at most 8.
#[test]
fn rooms_that_wait_start_short() {
    let run = rooms("{ wait = \"10s\" }", "0.5/s");
    accounted(&run.sessions[0]);
    let seen = run.sessions[0].rooms.as_ref().unwrap();
    let mut poisson = (-5.0f64).exp();
    let (mut fill, mut below, mut mass) = (0.0, 0.0, 0.0);
    for more in 0..7u32 {
        fill += poisson * f64::from(1 + more);
        (below, mass) = (below + poisson, mass + poisson);
        poisson *= 5.0 / f64::from(more + 1);
    }
    fill += 8.0 * (1.0 - mass);
    let started = (seen.started_full + seen.started_short) as f64;
    let error = 4.0 * (2.3 / 8.0) / started.sqrt();
    assert!((seen.fill_mean - fill / 8.0).abs() < error, "{} and {} ± {error}", seen.fill_mean, fill / 8.0);
    let short = seen.started_short as f64 / started;
    assert!((short - below).abs() < 4.0 * (below * (1.0 - below) / started).sqrt(), "{short} and {below}");
    assert!(seen.wait.max <= 10.0 + 0.1, "{}", seen.wait.max);
}

/// The seats of a room are reserved with its first player, so that nobody of it is ever refused.
#[test]
fn a_room_takes_all_its_seats_at_once() {
    let run = Game {
        rate: "10/s",
        sessions: "length = \"5min\"\nrooms = { players = 7 }",
        service: "most_connections = 500",
        group: "min = 4",
        retry: "{ max = 3, backoff = \"1s\" }",
        ..Game::default()
    }
    .play();
    let seen = &run.sessions[0];
    accounted(seen);
    // 71 rooms of seven are 497.
    assert_eq!(seen.most_at_an_instance, 497);
    assert!(seen.refused > 1_000 && seen.dropped == 0, "{seen:?}");
    assert_eq!(seen.rooms.as_ref().unwrap().fill_mean, 1.0);
}

/// Rooms whose instance crashes are lost, and their players meet again, the same eight.
#[test]
fn players_of_a_lost_room_stay_together() {
    let run = Game {
        rate: "4/s",
        sessions: "length = \"10min\"\nrooms = { players = 8 }\nopen = 2400",
        group: "min = 4",
        more: "[[incident]]\ncrash = { group = \"g\", at = \"30min\" }",
        ..Game::default()
    }
    .play();
    let seen = &run.sessions[0];
    accounted(seen);
    let rooms = seen.rooms.as_ref().unwrap();
    assert!((600..800).contains(&seen.dropped), "a quarter of 3,000: {}", seen.dropped);
    // And rooms that were opened there before its checks had failed, to which nobody could connect.
    assert!((0..40).contains(&(rooms.dropped - seen.dropped / 8)), "{} and {}", rooms.dropped, seen.dropped);
    assert_eq!(seen.reconnected, seen.dropped);
    // Most wait for less than the backoff of a second; those who are sent to the crashed instance, until its checks have
    // failed, wait for a connection that does not come about.
    assert!(seen.reconnect_time.p50 < 1.1 && seen.reconnect_time.max < 60.0, "{:?}", seen.reconnect_time);
    assert_eq!((rooms.started_short, rooms.fill_mean), (0, 1.0));
    let longest_gap = 20.0 / 4.0;
    assert!(rooms.wait.max < 8.0 * longest_gap, "{:?}", rooms.wait);
}

/// One worker of four dies: a quarter of the connections with it, and nobody else's.
#[test]
fn a_process_takes_only_its_own_connections_with_it() {
    let run = Game {
        rate: "2/s",
        sessions: "length = \"10min\"\nopen = 1200",
        service: "supervisor = { restart = { delay = \"5s\" } }",
        more: "[[incident]]\nprocess_crash = { group = \"g\", at = \"30min\" }",
        ..Game::default()
    };
    let text = run.text().replace(
        "runtime = { event-loop = { overhead = \"0s\", accept_queue = 100000 } }",
        "runtime = { processes = { workers = 4, accept = \"reuse-port\", each = { event-loop = { overhead = \"0s\" } } } }",
    );
    let scenario = Scenario::parse(&text).unwrap_or_else(|errors| panic!("{errors}"));
    let run = Experiment::new(&scenario).run().run;
    let seen = &run.sessions[0];
    accounted(seen);
    // Of 1,200 at two instances with four workers each.
    assert!((100..200).contains(&seen.dropped), "{}", seen.dropped);
    assert_eq!(seen.reconnected, seen.dropped);
}

/// What `explain --resolved` shows reads back to the same plan.
#[test]
fn resolved_sessions_are_the_same_sessions() {
    let text = include_str!("../../../examples/websocket-rooms.toml");
    let scenario = Scenario::parse(text).unwrap();
    let again = Scenario::parse(scenario.resolved()).unwrap();
    assert_eq!(scenario.resolved(), again.resolved());
    assert_eq!(format!("{:?}", scenario.plan()), format!("{:?}", again.plan()));
    for key in [
        "reconnect = true",
        "most_connections = 400",
        "wait = \"30s\"",
        "connection = \"60 KiB\"",
        "players = 8",
    ] {
        assert!(scenario.resolved().contains(key), "{key} is not in\n{}", scenario.resolved());
    }
}

/// A random game: rooms or none, limits, crashes, draining, scaling, retries with and without jitter.
fn games() -> impl Strategy<Value = String> {
    let rooms = prop_oneof![
        Just(String::new()),
        (1u32..9).prop_map(|players| format!("rooms = {{ players = {players} }}")),
        (1u32..9, 1u32..40).prop_map(|(players, wait)| format!(
            "rooms = {{ players = {players}, start = {{ wait = \"{wait}s\" }} }}"
        )),
    ];
    let limit = prop_oneof![
        Just(""),
        Just("most_connections = 150"),
        Just("memory = { process = \"100 MiB\", request = \"10 MiB\", connection = \"25 MiB\" }"),
    ];
    let runtime = prop::sample::select(vec![
        "{ event-loop = { accept_queue = 20 } }",
        "{ thread-pool = { threads = 5, accept_queue = 10 } }",
        "{ cluster = { workers = 3, accept_queue = 10 } }",
        "{ cluster = { workers = 3, accept = \"shared\" } }",
        "{ gil = { threads = 4, accept_queue = 20 } }",
    ]);
    let algorithm =
        prop::sample::select(vec!["round-robin", "least-outstanding-requests", "peak-ewma", "random"]);
    let flags = (prop::bool::ANY, prop::bool::ANY, 0u32..5, 0u32..3);
    (rooms, limit, runtime, algorithm, flags, (0u32..200, 1u64..1_000, 1u32..60)).prop_map(
        |(rooms, limit, runtime, algorithm, (reconnect, jitter, retries, backoff), (open, seed, delay))| {
            format!(
                r#"
                [scenario]
                duration = "10min"
                seed = {seed}
                [traffic.players]
                to = "front"
                profile = {{ constant = "6/s" }}
                mix = {{ connect = 1 }}
                timeout = "200ms"
                retry = {{ max = {retries}, backoff = "{backoff}s", jitter = {jitter} }}
                sessions = {{ length = {{ exp = {{ mean = "90s" }} }}, open = {open}, messages = {{ move = "0.2/s" }}, push = {{ state = "0.1/s" }}, reconnect = {reconnect}, {rooms} }}
                [traffic.plain]
                to = "front"
                profile = {{ constant = "10/s" }}
                mix = {{ connect = 1 }}
                [service.game]
                runtime = {runtime}
                endpoint.connect = {{ steps = [{{ cpu = {{ exp = {{ mean = "5ms" }} }} }}, {{ wait = "20ms" }}, {{ cpu = "1ms" }}] }}
                endpoint.move = {{ steps = [{{ cpu = {{ exp = {{ mean = "4ms" }} }} }}, {{ wait = {{ exp = {{ mean = "5ms" }} }} }}, {{ cpu = "1ms" }}] }}
                endpoint.state = {{ steps = [{{ pool = "1ms" }}] }}
                {limit}
                [machine.one]
                vcpus = 1
                memory = "4 GiB"
                [group.g]
                service = "game"
                machine = "one"
                min = 2
                desired = 3
                max = 6
                startup = {{ provision = "5s", boot = "5s", app = "5s" }}
                health_check = {{ elb = {{ grace_period = "0s" }} }}
                [[group.g.scaling]]
                manual = {{ at = "2min", desired = 6 }}
                [[group.g.scaling]]
                manual = {{ at = "4min", desired = 2 }}
                [[group.g.scaling]]
                manual = {{ at = "6min", desired = 4 }}
                [balancer.front]
                targets = "g"
                algorithm = "{algorithm}"
                deregistration_delay = "{delay}s"
                health_check = {{ interval = "5s", timeout = "2s" }}
                [[incident]]
                crash = {{ group = "g", at = "3min" }}
                [[incident]]
                crash = {{ group = "g", at = "5min", count = 2 }}
                [[incident]]
                crash = {{ group = "g", at = "7min", count = 9 }}
                "#
            )
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// At every instant every request is accounted for, all sessions are somewhere, and the players of a room are together.
    #[test]
    fn every_session_is_accounted_for(text in games()) {
        let scenario = Scenario::parse(&text).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
        let mut simulation = System::start(Arc::new(scenario.plan().clone()), Seed::new(3));
        for tenth in (0..=6_000u64).step_by(7) {
            simulation.run(Time::from_nanos(tenth * 100_000_000), u64::MAX, &mut ());
            simulation.model.audit_sessions().unwrap_or_else(|wrong| panic!("at {tenth} tenths: {wrong}\n{text}"));
            for source in &simulation.model.measure().sources {
                prop_assert!(source.ledger().conserved());
            }
        }
        let run = scalesim::system::finish(simulation.clone(), Outcome::Complete);
        accounted(&run.sessions[0]);
        prop_assert!(run.sessions[0].opened > 100);
        prop_assert!(run.requests.conserved());
        let at_endpoints: u64 = run.endpoints.iter().map(|part| part.requests.offered).sum();
        prop_assert_eq!(run.requests.attempts, at_endpoints);
    }

    /// A copy in mid-run has the same future, and the same scenario and seed give the same bytes.
    #[test]
    fn a_copy_has_the_same_future(text in games(), at in 0u64..600) {
        let scenario = Scenario::parse(&text).unwrap();
        let plan = Arc::new(scenario.plan().clone());
        let end = Time::ZERO + Span::from_secs(600);
        let mut original = System::start(plan.clone(), Seed::new(5));
        original.run(Time::ZERO + Span::from_secs(at), u64::MAX, &mut ());
        let mut copy = original.clone();
        let mut again = System::start(plan, Seed::new(5));
        for simulation in [&mut original, &mut copy, &mut again] {
            simulation.run(end, u64::MAX, &mut ());
        }
        let json = |simulation: &Simulation<System>| {
        serde_json::to_string(&scalesim::system::finish(simulation.clone(), Outcome::Complete)).unwrap()
    };
        prop_assert_eq!(json(&original), json(&copy));
        prop_assert_eq!(json(&original), json(&again));
    }
}

/// As many sessions as there may be end the run, and are reported.
#[test]
fn the_limit_of_sessions_is_an_outcome() {
    let game = Game { sessions: "length = \"10h\"", more: "[limits]\nsessions = 500", ..Game::default() };
    let run = game.play();
    let Outcome::Limit { limit, value, .. } = &run.outcome else { panic!("{:?}", run.outcome) };
    assert_eq!((limit.as_str(), *value), ("sessions", 500));
    assert!((495..=500).contains(&run.sessions[0].open_at_end));
    // Rooms of a hundred in which one player sits take their seats all the same.
    let rooms = "length = \"10h\"\nrooms = { players = 100, start = { wait = \"10ms\" } }";
    let run = Game { sessions: rooms, rate: "1/s", ..game }.play();
    let Outcome::Limit { limit, .. } = &run.outcome else { panic!("{:?}", run.outcome) };
    assert_eq!((limit.as_str(), run.sessions[0].open_at_end), ("sessions", 5));
}

/// Common random numbers: who is lost and comes back changes neither who else comes nor how long they stay.
#[test]
fn losses_do_not_change_the_other_players() {
    let game = |more: &'static str| {
        let sessions = "length = { exp = { mean = \"1min\" } }";
        Game { duration: "20min", sessions, more, ..Game::default() }.play()
    };
    let (calm, crash) = (game(""), game("[[incident]]\ncrash = { group = \"g\", at = \"10min\" }"));
    assert!(crash.sessions[0].dropped > 200 && calm.sessions[0].dropped == 0);
    let newcomers = |run: &Run| run.sessions[0].opened + run.sessions[0].never_opened;
    // All but the few who were about to connect at the end or at the crash.
    assert!(newcomers(&calm).abs_diff(newcomers(&crash)) <= 2, "{} {}", newcomers(&calm), newcomers(&crash));
    let ended = |run: &Run| run.sessions[0].ended + run.sessions[0].left_meanwhile;
    assert!(ended(&calm).abs_diff(ended(&crash)) <= 3, "{} {}", ended(&calm), ended(&crash));
}
