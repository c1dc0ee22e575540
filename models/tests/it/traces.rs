//! Traces: each format and quirk on a few lines, and real files where `SCALESIM_TRACES` names their folder.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use proptest::prelude::*;
use scalesim::traffic::trace::{FORMATS, Gaps, Options, Trace, TraceError, read};
use sim_core::Span;

fn options(format: &str) -> Options {
    Options {
        format: format.into(),
        per: None,
        time: None,
        value: None,
        from: None,
        to: None,
        gaps: Gaps::Zero,
    }
}

fn counts(text: &str, options: &Options) -> Result<(Vec<f64>, Span, String), TraceError> {
    match read("t.csv", text.as_bytes(), options)? {
        Trace::Counts { bin, counts, notes } => Ok((counts, bin, notes.join("; "))),
        Trace::Log { .. } => panic!("expected counts"),
    }
}

fn log(text: &str, options: &Options) -> Result<(Vec<f64>, String), TraceError> {
    match read("t.log", text.as_bytes(), options)? {
        Trace::Log { instants, notes } => {
            Ok((instants.iter().map(|at| at.as_secs_f64()).collect(), notes.join("; ")))
        }
        Trace::Counts { .. } => panic!("expected a log"),
    }
}

#[test]
fn holes_are_filled_as_the_policy_says() {
    let text = "timestamp,value\n2014-04-10 00:00:00,6\n2014-04-10 00:05:00,2\n2014-04-10 00:10:00,4\n2014-04-10 00:25:00,10\n";
    let (zero, bin, notes) = counts(text, &options("counts")).unwrap();
    assert_eq!((zero, bin), (vec![6.0, 2.0, 4.0, 0.0, 0.0, 10.0], Span::from_secs(300)));
    assert!(
        notes.contains("2 bins of 5min in 1 holes are not in the file: filled with 0 (first before line 5)"),
        "{notes}"
    );
    let mut other = options("counts");
    other.gaps = Gaps::Interpolate;
    assert_eq!(counts(text, &other).unwrap().0, [6.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
    other.gaps = Gaps::Refuse;
    assert!(
        counts(text, &other)
            .unwrap_err()
            .to_string()
            .starts_with("t.csv:5: 2 bins before this row are missing")
    );
}

#[test]
fn a_clock_that_jumped_is_put_right() {
    // Three bins are missing, and then four rows carry the time at which the clock was set.
    let text = "t,v\n2014-03-09 01:50:00,1\n2014-03-09 01:55:00,2\n2014-03-09 02:15:00,3\n2014-03-09 02:15:00,4\n2014-03-09 02:15:00,5\n2014-03-09 02:15:00,6\n2014-03-09 02:20:00,7\n";
    let (values, _, notes) = counts(text, &options("counts")).unwrap();
    assert_eq!(values, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
    assert!(notes.contains("3 rows repeat a time after a hole of as many bins"), "{notes}");
    let twice =
        "t,v\n2014-03-09 01:50:00,1\n2014-03-09 01:55:00,2\n2014-03-09 01:55:00,3\n2014-03-09 02:00:00,4\n";
    let (values, _, notes) = counts(twice, &options("counts")).unwrap();
    assert_eq!(values, [1.0, 5.0, 4.0]);
    assert!(notes.contains("1 rows fall into a bin that is taken"), "{notes}");
}

#[test]
fn malformed_rows_are_refused_with_their_place() {
    let said = |text: &str| counts(text, &options("counts")).unwrap_err().to_string();
    assert_eq!(
        said("time,count\n2014-04-10 00:00:00,6\n2014-04-10 00:01:00,abc\n"),
        "t.csv:3:2: expected a count, found `abc`"
    );
    assert_eq!(
        said("time,count\n2014-04-10 00:00:00,6\nnoon,7\n"),
        "t.csv:3:1: expected a time, found `noon`"
    );
    assert_eq!(said("time,count\n2014-04-10 00:00:00,-6\n"), "t.csv:2:2: a count of `-6` is not possible");
    assert!(said("time,count\n2014-04-10 00:00:00\n").starts_with("t.csv:2: expected a count in column 2"));
    assert!(said("").contains("empty"));
    assert!(said("{\"a\": 1}\n").contains("looks like JSON"));
    assert!(said("1\t4\n2\t5\n").contains("state the width of a bin"));
    let mut named = options("counts");
    named.value = Some("hits".into());
    let missing = counts("time,count\n2014-04-10 00:00:00,6\n", &named).unwrap_err().to_string();
    assert_eq!(missing, "t.csv:1: there is no column `hits`; there are time, count");
}

#[test]
fn numbered_rows_and_bare_lists_need_a_width() {
    let mut minutes = options("counts");
    minutes.per = Some(Span::from_secs(60));
    assert_eq!(counts("1\t5\n2\t0\n3\t7\n", &minutes).unwrap().0, [5.0, 0.0, 7.0]);
    assert_eq!(
        counts("0.5,213458;\n1.5,200000;\n2.5,190000;\n", &minutes).unwrap().0,
        [213_458.0, 200_000.0, 190_000.0]
    );
    assert_eq!(counts("3 0 1 4\n", &minutes).unwrap().0, [3.0, 0.0, 1.0, 4.0]);
    assert_eq!(counts("3\n0\n1\n", &minutes).unwrap().0, [3.0, 0.0, 1.0]);
    assert!(counts("3 0 x\n", &minutes).unwrap_err().to_string().starts_with("t.csv:1:5: expected a count"));
    minutes.from = Some("1min".into());
    minutes.to = Some("3min".into());
    assert_eq!(counts("3 0 1 4\n", &minutes).unwrap().0, [0.0, 1.0]);
    minutes.from = Some("9min".into());
    assert!(counts("3 0 1 4\n", &minutes).unwrap_err().to_string().contains("nothing in the slice"));
}

#[test]
fn packed_files_are_unpacked() {
    let text = b"time,count\n2014-04-10 00:00:00,6\n2014-04-10 00:01:00,2\n2014-04-10 00:02:00,2\n";
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(text).unwrap();
    let mut header = tar::Header::new_gnu();
    header.set_size(text.len() as u64);
    header.set_cksum();
    let mut archive =
        tar::Builder::new(bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::default()));
    archive.append_data(&mut header, "counts.csv", &text[..]).unwrap();
    for packed in [gzip.finish().unwrap(), archive.into_inner().unwrap().finish().unwrap()] {
        match read("t", packed.as_slice(), &options("counts")).unwrap() {
            Trace::Counts { counts, .. } => assert_eq!(counts, [6.0, 2.0, 2.0]),
            Trace::Log { .. } => panic!("expected counts"),
        }
    }
}

#[test]
fn logs_are_read_in_their_formats() {
    let combined = "1.2.3.4 - - [22/Jan/2019:03:56:14 +0330] \"GET / HTTP/1.1\" 200 5 \"-\" \"x\"\n1.2.3.4 - - [22/Jan/2019:03:56:16 +0330] \"GET / HTTP/1.1\" 200 5 \"-\" \"x\"\n";
    let (instants, notes) = log(combined, &options("combined")).unwrap();
    assert_eq!(instants, [0.0, 2.0]);
    assert!(notes.contains("whole seconds"), "{notes}");
    let elb = "http 2015-11-07T18:45:33.007671Z lb 1.1.1.1:1 -\n2015-11-07T18:45:37.691548Z lb 1.1.1.1:1\n";
    let (instants, _) = log(elb, &options("elb")).unwrap();
    assert!((instants[1] - 4.683_877).abs() < 1e-9, "{instants:?}");
    let w3c = "#Software: x\n#Fields: date time cs-method\n2015-01-13 00:32:17 GET\n#Fields: time date\n00:32:20 2015-01-13\n";
    assert_eq!(log(w3c, &options("w3c")).unwrap().0, [0.0, 3.0]);
    let csv = "TIMESTAMP,Tokens\n2023-11-16 18:17:03.9799600,4808\n2023-11-16 18:17:04.0319600,110\n";
    assert!((log(csv, &options("log")).unwrap().0[1] - 0.052).abs() < 1e-9);
    let refused = log("Feb 25 12:00:00 haproxy: x\n", &options("combined")).unwrap_err().to_string();
    assert!(refused.starts_with("t.log:1: expected [day/month/year:time zone] in brackets"), "{refused}");
}

#[test]
fn rows_out_of_order_are_sorted_if_few_and_refused_if_many() {
    let few =
        "t\n2015-01-01T00:00:01.5Z\n2015-01-01T00:00:01.2Z\n2015-01-01T00:00:02.5Z\n2015-01-01T00:00:03.5Z\n";
    let (instants, notes) = log(few, &options("log")).unwrap();
    assert!(
        instants.is_sorted()
            && notes.contains("1 of 4 rows are earlier than the row before, by up to 300ms: sorted"),
        "{notes}"
    );
    let many =
        "t\n2015-01-01T00:00:05.5Z\n2015-01-01T00:00:03.5Z\n2015-01-01T00:00:01.5Z\n2015-01-01T00:00:00.5Z\n";
    let refused = log(many, &options("log")).unwrap_err().to_string();
    assert!(
        refused.starts_with("t.log:3: 3 of 4 rows are earlier") && refused.contains("`per = \"1h\"`"),
        "{refused}"
    );
    let mut binned = options("log");
    binned.per = Some(Span::from_secs(2));
    assert_eq!(counts(many, &binned).unwrap().0, [2.0, 1.0, 1.0].map(f64::from).to_vec());
}

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
        Trace::Counts { bin, counts, notes } => Some((counts, bin, notes.join("; "))),
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
            Some(Ok(Trace::Log { instants, notes })) => {
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), format in prop::sample::select(FORMATS.to_vec()), per in prop::option::of(1u64..1_000_000_000_000)) {
        let mut options = options(format);
        options.per = per.map(Span::from_nanos);
        let _ = read("t", bytes.as_slice(), &options);
    }

    #[test]
    fn no_row_makes_it_panic(rows in prop::collection::vec(("[0-9T:. -]{0,20}", "[0-9e.-]{0,8}"), 0..12), format in prop::sample::select(FORMATS.to_vec())) {
        let text: String = rows.iter().map(|(time, count)| format!("{time},{count}\n")).collect();
        let _ = read("t", text.as_bytes(), &options(format));
    }
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
        machine = "c6i.large"
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
