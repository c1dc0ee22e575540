//! Traces: each format and quirk on a few lines.

use std::io::Write;

use proptest::prelude::*;
use scalesim::traffic::trace::{FORMATS, Gaps, Options, Trace, TraceError, read};
use sim_core::Span;

/// Options that state the format and nothing else.
pub fn options(format: &str) -> Options {
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
        Trace::Counts { bin, counts, notes, .. } => Ok((counts, bin, notes.join("; "))),
        Trace::Log { .. } => panic!("expected counts"),
    }
}

fn log(text: &str, options: &Options) -> Result<(Vec<f64>, String), TraceError> {
    match read("t.log", text.as_bytes(), options)? {
        Trace::Log { instants, notes, .. } => {
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
    assert!(notes.contains("1 rows repeat a time"), "{notes}");
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
    assert_eq!(instants, [0.5, 2.5], "one request a second is in its middle");
    assert!(notes.contains("whole seconds"), "{notes}");
    let elb = "http 2015-11-07T18:45:33.007671Z lb 1.1.1.1:1 -\n2015-11-07T18:45:37.691548Z lb 1.1.1.1:1\n";
    let (instants, _) = log(elb, &options("elb")).unwrap();
    assert!((instants[1] - 4.683_877).abs() < 1e-9, "{instants:?}");
    let w3c = "#Software: x\n#Fields: date time cs-method\n2015-01-13 00:32:17 GET\n#Fields: time date\n00:32:20 2015-01-13\n";
    assert_eq!(log(w3c, &options("w3c")).unwrap().0, [0.5, 3.5]);
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

#[test]
fn times_out_of_range_are_refused_and_bins_are_capped() {
    let said = |text: &str| counts(text, &options("counts")).unwrap_err().to_string();
    for time in ["1e10", "1e30", "1e31", "10000000000", "9000-01-01 00:00:00"] {
        let refused = said(&format!("time,count\n2014-04-10 00:00:00,1\n{time},2\n"));
        assert!(refused.starts_with("t.csv:3:1: `") && refused.contains("from 1950 to 2199"), "{refused}");
    }
    let mut binned = options("log");
    binned.per = Some(Span::from_secs(1));
    let refused = counts("1e10\n1e30\n", &binned).unwrap_err().to_string();
    assert!(refused.starts_with("t.csv:1:1: `1e10` is no time from 1950 to 2199"), "{refused}");
    let far = "t\n1500000000\n1600000000\n";
    let refused = counts(far, &binned).unwrap_err();
    assert!(refused.option() == Some("per") && refused.to_string().contains("100000001 bins"), "{refused}");
    let mut seconds = options("counts");
    seconds.per = Some(Span::from_secs(1));
    let refused = counts("t,v\n1500000000,1\n1600000000,2\n", &seconds).unwrap_err().to_string();
    assert!(refused.contains("100000001 bins of 1s, and 10000000 are the most"), "{refused}");
    // Both kinds of numbers in one file are a mistake, not 44 years.
    seconds.per = Some(Span::from_secs(3_600));
    let mixed = counts("t,v\n1,1\n1600000000,2\n", &seconds).unwrap_err().to_string();
    assert!(mixed.starts_with("t.csv:3:1: expected the number of a bin"), "{mixed}");
    seconds.per = Some(Span::ZERO);
    assert_eq!(counts("1 2\n", &seconds).unwrap_err().option(), Some("per"));
}

#[test]
fn a_slice_is_read_on_the_clock_of_the_file() {
    let text = "t,v\n2014-04-10 02:00:00,6\n2014-04-10 02:01:00,2\n2014-04-10 02:02:00,4\n";
    let mut early = options("counts");
    early.from = Some("2014-04-10T01:55:00".into());
    let (values, _, notes) = counts(text, &early).unwrap();
    assert_eq!(values, [0.0, 0.0, 0.0, 0.0, 0.0, 6.0, 2.0, 4.0]);
    assert!(notes.contains("begins 5min before the file, in silence"), "{notes}");
    early.to = Some("2014-04-10T01:58:00".into());
    let nothing = counts(text, &early).unwrap_err().to_string();
    assert!(nothing.contains("the file goes from 2014-04-10T02:00:00 to 2014-04-10T02:03:00"), "{nothing}");
    let mut off = options("counts");
    off.from = Some("2014-04-10T02:00:40".into());
    let (values, _, notes) = counts(text, &off).unwrap();
    assert_eq!(values, [2.0, 4.0]);
    assert!(notes.contains("`from` is not on the grid of bins: rounded to 2014-04-10T02:01:00"), "{notes}");
    let zoned = "t,v\n2014-04-10T02:00:00-04:00,6\n2014-04-10T02:01:00-04:00,2\n";
    let mut local = options("counts");
    local.from = Some("2014-04-10T02:01:00".into());
    let (values, _, notes) = counts(zoned, &local).unwrap();
    assert_eq!(values, [2.0]);
    assert!(notes.contains("`from` without a zone: read at -04"), "{notes}");
    local.from = Some("2014-04-10T06:01:00Z".into());
    assert_eq!(counts(zoned, &local).unwrap().0, [2.0]);
    local.from = Some("2014-04-10T02:01:00Z".into());
    assert!(counts(text, &local).unwrap().2.contains("its times are taken for UTC"));
    let numbered =
        counts("1 2 3\n", &Options { per: Some(Span::from_secs(60)), ..local.clone() }).unwrap_err();
    assert!(numbered.option() == Some("from") && numbered.to_string().contains("an offset such as"));
    for wrong in ["noon", "1e30", "7"] {
        local.from = Some(wrong.into());
        assert_eq!(counts(text, &local).unwrap_err().option(), Some("from"));
    }
}

#[test]
fn holes_outside_the_slice_do_not_matter() {
    let text = "t,v\n2014-04-10 00:00:00,6\n2014-04-10 00:01:00,2\n2014-04-10 00:04:00,8\n2014-04-10 00:05:00,5\n2014-04-10 00:06:00,5\n";
    let mut late = Options { gaps: Gaps::Refuse, ..options("counts") };
    late.from = Some("2014-04-10T00:04:00".into());
    let (values, _, notes) = counts(text, &late).unwrap();
    assert!(values == [8.0, 5.0, 5.0] && !notes.contains("holes"), "{notes}");
    // A slice that begins in a hole has the half of it that it holds, on the line to its neighbours.
    late.from = Some("2014-04-10T00:03:00".into());
    assert!(counts(text, &late).unwrap_err().to_string().starts_with("t.csv:4: 1 bins before this row"));
    late.gaps = Gaps::Interpolate;
    let (values, _, notes) = counts(text, &late).unwrap();
    assert_eq!(values, [6.0, 8.0, 5.0, 5.0]);
    assert!(notes.contains("1 bins of 1min in 1 holes"), "{notes}");
}

#[test]
fn several_series_are_added_up() {
    let day = "2014-03-09 00";
    let text = format!("t,v\n{day}:00,5\n{day}:01,5\n{day}:03,1\n{day}:03,9\n{day}:04,5\n");
    let (values, _, notes) = counts(&text, &options("counts")).unwrap();
    assert_eq!(values, [5.0, 5.0, 0.0, 10.0, 5.0]);
    assert!(notes.contains("1 rows repeat a time, as those of several series do"), "{notes}");
    // Three a time, and one time is missing twice over: as at a jump, but repeated elsewhere too.
    let row = |minute: u32| format!("{day}:{minute:02},1\n").repeat(3);
    let text = format!("t,v\n{}{}{}{}", row(0), row(1), row(4), row(5));
    assert_eq!(counts(&text, &options("counts")).unwrap().0, [3.0, 3.0, 0.0, 0.0, 3.0, 3.0]);
    // Series one after the other, and rows newest first.
    let text = format!("t,v\n{day}:00,1\n{day}:01,2\n{day}:02,3\n{day}:02,30\n{day}:01,20\n{day}:00,10\n");
    assert_eq!(counts(&text, &options("counts")).unwrap().0, [11.0, 22.0, 33.0]);
}

#[test]
fn times_and_counts_are_two_columns() {
    let mut minutes = options("counts");
    minutes.per = Some(Span::from_secs(60));
    let (values, _, _) = counts("value\n5\n6\n5\n6\n", &minutes).unwrap();
    assert_eq!(values, [5.0, 6.0, 5.0, 6.0]);
    let both = Options { time: Some("n".into()), value: Some("n".into()), ..options("counts") };
    let refused = counts("t,n\n2014-04-10,6\n", &both).unwrap_err();
    assert_eq!(refused.to_string(), "t.csv:1: column `n` cannot hold both the times and the counts");
    assert_eq!(refused.option(), Some("value"));
    let anonymous = "value,container_ip,timestamp_anon\n3,a,1662858720\n4,b,1662858780\n";
    assert_eq!(counts(anonymous, &options("counts")).unwrap().0, [3.0, 4.0]);
    for log in ["when\n2014-04-10 00:00:00\n", "1662858720\n1662858721\n"] {
        let refused = counts(log, &options("counts")).unwrap_err().to_string();
        assert!(refused.contains("`format = \"log\"`"), "{refused}");
    }
}

#[test]
fn reasons_are_those_of_the_file() {
    let said = |text: &[u8], format: &str| read("t", text, &options(format)).unwrap_err().to_string();
    let events = "TIMESTAMP,Tokens\n2023-11-16 18:17:03.97,48\n2023-11-16 18:17:04.03,11\n2023-11-16 18:17:04.07,5\n2023-11-16 18:17:05.99,5\n2023-11-16 18:17:06.09,5\n";
    let refused = said(events.as_bytes(), "counts");
    assert!(refused.contains("follow no grid") && refused.contains("`format = \"log\"`"), "{refused}");
    let wide = "HashOwner,HashApp,Trigger,1,2,3,4,5,6,7,8,9,10,11,12\nc4,68,queue,0,0,1,0,0,1,0,0,1,0,0,1\n";
    let refused = said(wide.as_bytes(), "counts");
    assert!(refused.starts_with("t:1: its last 12 columns are numbered 1 to 12"), "{refused}");
    let mut named = options("log");
    named.time = Some("end".into());
    let refused = read("t", "app,end\na,0.079\n".as_bytes(), &named).unwrap_err().to_string();
    assert!(refused.starts_with("t:2:2: `0.079` is too small for seconds since 1970"), "{refused}");
    assert!(said(b"PK\x03\x04\x14\x00", "counts").contains("zip archive: unpack it"));
    assert!(said(b"\x7fELF\x02\x00\x00", "log").contains("not text but binary"));
    let bad = "t,v\n2014-04-10 00:00:00,a\n2014-04-10 00:01:00,2\nb,2\n2014-04-10 00:03:00\n";
    assert_eq!(said(bad.as_bytes(), "counts"), "t:2:2: expected a count, found `a`; 2 more like it below");
    let bad = "[22/Jan/2019:03:56:14 +0330]\nx\ny\nz\n";
    assert!(said(bad.as_bytes(), "combined").ends_with("found `x`; 2 more like it below"));
}

#[test]
fn times_without_their_minutes_are_not_counted_by_the_minute() {
    let row = |nth: u64| format!("2015-05-17T{:02}:05:{:02}Z\n", nth / 30, nth * 37 % 60);
    let text: String = (0..150).map(row).collect();
    let mut minutes = options("log");
    minutes.per = Some(Span::from_secs(60));
    let refused = counts(&text, &minutes).unwrap_err().to_string();
    assert!(
        refused.contains("all 150 rows, over 4 hours, have the same minute of their hour, 05"),
        "{refused}"
    );
    assert!(refused.ends_with("use wider ones, `per = \"1h\"`"), "{refused}");
    minutes.per = Some(Span::from_secs(3_600));
    assert_eq!(counts(&text, &minutes).unwrap().0, [30.0; 5]);
    // In order it may be a job that runs once an hour; it is said, and played.
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    let (instants, notes) = log(&lines.join("\n"), &options("log")).unwrap();
    assert!(instants.len() == 150 && notes.contains("the minutes are not real"), "{notes}");
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
