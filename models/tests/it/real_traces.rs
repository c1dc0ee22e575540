//! Traces of real systems, where `SCALESIM_TRACES` names their folder: read, and played.

use std::fs::File;
use std::path::PathBuf;

use scalesim::traffic::trace::{Gaps, Options, Trace, TraceError, read};
use sim_core::Span;

use crate::traces::options;

/// A real file, or nothing where the folder is not there.
fn real(path: &str, options: &Options) -> Option<Result<Trace, TraceError>> {
    let Some(folder) = std::env::var_os("SCALESIM_TRACES") else {
        println!("SCALESIM_TRACES is not set: {path} is not tested");
        return None;
    };
    Some(read(path, File::open(PathBuf::from(folder).join(path)).unwrap(), options))
}

fn real_counts(path: &str, options: &Options) -> Option<(Vec<f64>, Span, String)> {
    match real(path, options)?.unwrap() {
        Trace::Counts { bin, counts, notes, .. } => Some((counts, bin, notes.join("; "))),
        Trace::Log { .. } => panic!("expected counts"),
    }
}

#[test]
fn the_world_cup_final_is_replayed_by_the_minute() {
    let mut day = options("counts");
    (day.from, day.to) = (Some("1998-07-12T00:00:00".into()), Some("1998-07-13T00:00:00".into()));
    let Some((counts, bin, _)) = real_counts("request-rate/worldcup98/invocation_count.csv", &day) else {
        return;
    };
    assert_eq!((counts.len(), bin), (1_440, Span::from_secs(60)));
    let Some((all, _, notes)) =
        real_counts("request-rate/worldcup98/invocation_count.csv", &options("counts"))
    else {
        return;
    };
    assert_eq!(all.len(), 125_310);
    assert!(notes.contains("10 bins of 1min in 7 holes"), "{notes}");
    assert_eq!(all.iter().copied().fold(0.0, f64::max), 229_426.0);
}

#[test]
fn two_weeks_of_a_load_balancer_are_filled_with_zeros() {
    let Some((counts, bin, notes)) =
        real_counts("request-rate/nab-aws/elb_request_count_8c0756.csv", &options("counts"))
    else {
        return;
    };
    assert_eq!((counts.len(), bin), (4_040, Span::from_secs(300)));
    assert!(notes.contains("8 bins of 5min"), "{notes}");
    assert_eq!(counts.iter().copied().fold(0.0, f64::max), 656.0);
}

#[test]
fn seconds_of_nasa_come_out_of_a_packed_archive() {
    let mut seconds = options("counts");
    seconds.per = Some(Span::from_secs(1));
    let Some((counts, _, _)) = real_counts("request-rate/nasa-http/workload.tbz2", &seconds) else { return };
    assert_eq!((counts.len(), counts.iter().copied().fold(0.0, f64::max)), (5_059_950, 20.0));
}

#[test]
fn other_series_are_read_or_their_jumps_put_right() {
    for (path, rows) in
        [("nab-aws/nyc_taxi.csv", 10_320), ("nab-aws/ec2_request_latency_system_failure.csv", 4_032)]
    {
        let Some((counts, _, notes)) = real_counts(&format!("request-rate/{path}"), &options("counts"))
        else {
            return;
        };
        assert!(counts.len() >= rows, "{path}: {} bins; {notes}", counts.len());
        if path.contains("latency") {
            assert!(notes.contains("the clock jumped"), "{notes}");
        }
    }
    let mut minutes = options("counts");
    minutes.per = Some(Span::from_secs(60));
    for path in ["epa-http.txt", "sdsc_http.txt"] {
        let Some((counts, ..)) = real_counts(&format!("request-rate/ita-epa-sdsc/{path}"), &minutes) else {
            return;
        };
        assert_eq!(counts.len(), 1_440, "{path}");
    }
}

#[test]
fn access_logs_are_replayed_sorted_or_refused() {
    let logs = [
        ("access-logs/nasa-19950801-tsv/nasa_19950801.tsv", "log", 30_969),
        ("access-logs/nginx-shop/logfile_shop_access_log.0", "combined", 1_000),
        ("access-logs/aws-elb/AWSLogs.log", "elb", 668),
        ("access-logs/aws-elb/AppELBLog.log", "elb", 668),
        ("access-logs/iis-w3c/logfile_w3c_big.0", "w3c", 210),
        ("request-rate/azure-llm-2023/AzureLLMInferenceTrace_code.csv", "log", 8_819),
    ];
    for (path, format, rows) in logs {
        match real(path, &options(format)) {
            None => return,
            Some(Ok(Trace::Log { instants, notes, .. })) => {
                assert_eq!(instants.len(), rows, "{path}: {notes:?}");
                assert!(instants.is_sorted());
                assert!(
                    !path.contains("AWSLogs") || notes.join(" ").contains("165 of 668 rows"),
                    "{notes:?}"
                );
            }
            other => panic!("{path}: {other:?}"),
        }
    }
    let Some(Err(refused)) = real("access-logs/apache-combined/apache_logs", &options("combined")) else {
        panic!("its times are in no order")
    };
    assert!(refused.to_string().contains("4915 of 10000 rows are earlier"), "{refused}");
    let Some(Err(json)) = real("access-logs/nginxplus-status/nginxplus_json_logs", &options("combined"))
    else {
        panic!("not a log")
    };
    assert!(json.to_string().contains("looks like JSON"));
}

#[test]
fn real_files_keep_their_quirks_to_themselves() {
    let traces = "request-rate";
    let local = Options {
        from: Some("1995-07-01T00:00:00".into()),
        to: Some("1995-07-01T05:00:00".into()),
        ..options("counts")
    };
    let Some((values, _, notes)) =
        real_counts(&format!("{traces}/nasa-http/nasa_http_per_minute.csv"), &local)
    else {
        return;
    };
    assert!(values.len() == 300 && notes.contains("read at -04"), "{} {notes}", values.len());
    // The holes of the World Cup are in May.
    let day = Options {
        from: Some("1998-07-12T00:00:00".into()),
        to: Some("1998-07-13T00:00:00".into()),
        gaps: Gaps::Refuse,
        ..options("counts")
    };
    let (values, _, notes) = real_counts(&format!("{traces}/worldcup98/invocation_count.csv"), &day).unwrap();
    assert!(values.len() == 1_440 && !notes.contains("holes"), "{notes}");
    let (_, _, notes) =
        real_counts(&format!("{traces}/alibaba-gentd26/qps.csv"), &options("counts")).unwrap();
    assert!(notes.contains("several series") && !notes.contains("jumped"), "{notes}");
    for path in ["queue_size_raw_anon.csv", "queue_rt_raw_anon.csv"] {
        real(&format!("{traces}/alibaba-gentd26/{path}"), &options("counts")).unwrap().unwrap();
    }
    for path in [
        "ec2_request_latency_system_failure.csv",
        "ec2_disk_write_bytes_1ef3de.csv",
        "ec2_network_in_5abac7.csv",
    ] {
        let (_, _, notes) = real_counts(&format!("{traces}/nab-aws/{path}"), &options("counts")).unwrap();
        assert!(notes.contains("11 rows repeat a time after a hole"), "{path}: {notes}");
    }
    let shop = Options {
        from: Some("2019-01-22T03:57:00".into()),
        to: Some("2019-01-22T03:58:00".into()),
        ..options("combined")
    };
    let Some(Ok(Trace::Log { instants, .. })) =
        real("access-logs/nginx-shop/logfile_shop_access_log.0", &shop)
    else {
        panic!("a minute of it")
    };
    assert!((200..500).contains(&instants.len()), "{}", instants.len());
}

#[test]
fn real_files_that_are_no_counts_are_told_so() {
    let said = |path: &str, options: &Options| Some(real(path, options)?.unwrap_err().to_string());
    let Some(llm) = said("request-rate/azure-llm-2023/AzureLLMInferenceTrace_code.csv", &options("counts"))
    else {
        return;
    };
    assert!(llm.contains("`format = \"log\"`"), "{llm}");
    let wide = said("request-rate/azure-functions-invitro/invocations.csv", &options("counts")).unwrap();
    assert!(wide.contains("its last 1440 columns are numbered"), "{wide}");
    let named = Options { time: Some("end_timestamp".into()), ..options("log") };
    let relative = said("request-rate/azure-functions-invitro/Azure2021_200.csv", &named).unwrap();
    assert!(relative.contains("198 more like it below"), "{relative}");
    let minutes = Options { per: Some(Span::from_secs(60)), ..options("combined") };
    let apache = said("access-logs/apache-combined/apache_logs", &minutes).unwrap();
    assert!(apache.contains("have the same minute of their hour, 05"), "{apache}");
}

/// Opens traces in the folder that `SCALESIM_TRACES` names.
struct Folder(PathBuf);

impl scalesim::Files for Folder {
    fn open(&self, path: &str) -> std::io::Result<Box<dyn std::io::Read>> {
        Ok(Box::new(File::open(self.0.join(path))?))
    }
}

/// Plays a trace against a group that scales; nothing where the folder is not there.
fn replay(trace: &str, duration: &str, cpu: &str) -> Option<scalesim::results::Results> {
    let Some(folder) = std::env::var_os("SCALESIM_TRACES") else {
        println!("SCALESIM_TRACES is not set: {trace} is not replayed");
        return None;
    };
    let text = format!(
        r#"
        [scenario]
        duration = "{duration}"
        [traffic.t]
        to = "front"
        trace = {trace}
        [service.s]
        runtime = {{ thread-pool = {{ threads = 64, accept_queue = 256 }} }}
        [service.s.endpoint.page]
        steps = [{{ cpu = {{ lognormal = {{ mean = "{cpu}", cv = 1.0 }} }} }}]
        [group.g]
        service = "s"
        machine = "c7g.large"
        min = 2
        max = 20
        monitoring = "detailed"
        instance_warmup = "60s"
        [[group.g.scaling]]
        target_tracking = {{ target = 50 }}
        [balancer.front]
        targets = "g"
        algorithm = "least-outstanding-requests"
        [[sla]]
        objective = "p99 <= 100ms"
        "#
    );
    let scenario = scalesim::Scenario::read("replay.toml", &text, &[], &Folder(folder.into()))
        .unwrap_or_else(|error| panic!("{error}"));
    Some(scalesim::Experiment::new(&scenario).run())
}

#[test]
fn the_day_of_the_final_is_played() {
    let trace = r#"{ file = "request-rate/worldcup98/invocation_count.csv", from = "1998-07-12T00:00:00", to = "1998-07-13T00:00:00" }"#;
    let Some(results) = replay(trace, "24h", "12ms") else { return };
    let requests = results.run.requests;
    // Each request is played, in its own minute.
    let rows: f64 = results.run.series.iter().map(|row| row.offered * 60.0).sum();
    assert_eq!(rows.round() as u64, requests.offered);
    assert!(requests.conserved() && requests.offered > 5_000_000, "{requests:?}");
    assert!(
        results.run.groups[0].serving_max > 4,
        "the evening needs more than the night: {:?}",
        results.run.groups[0]
    );
}

#[test]
fn two_weeks_of_a_load_balancer_are_played() {
    let trace = r#"{ file = "request-rate/nab-aws/elb_request_count_8c0756.csv" }"#;
    let Some(results) = replay(trace, "336h", "20ms") else { return };
    // 61.8 a bin over 4 032 bins, less what lies after two weeks.
    assert!((248_000..=249_400).contains(&results.run.requests.offered), "{:?}", results.run.requests);
    assert!(results.notes.iter().any(|note| note.contains("8 bins of 5min")), "{:?}", results.notes);
}

#[test]
fn a_day_of_nasas_seconds_is_played() {
    let trace = r#"{ file = "request-rate/nasa-http/workload.tbz2", per = "1s", to = "24h" }"#;
    let Some(results) = replay(trace, "24h", "10ms") else { return };
    assert!((60_000..70_000).contains(&results.run.requests.offered), "{:?}", results.run.requests);
}

#[test]
fn an_access_log_is_played_request_by_request() {
    let trace = r#"{ file = "access-logs/aws-elb/AWSLogs.log", format = "elb" }"#;
    let Some(results) = replay(trace, "10s", "1ms") else { return };
    assert_eq!(results.run.requests.offered, 668);
    assert!(results.notes.iter().any(|note| note.contains("165 of 668 rows")), "{:?}", results.notes);
}
