//! Cost against violation, as pictures.

use scalesim_report::{TradeOff, TradePoint, trade_off_png, trade_off_svg};

fn point(label: &str, cost: (f64, f64), minutes: (f64, f64), frontier: bool) -> TradePoint {
    TradePoint {
        label: label.to_string(),
        cost: cost.0,
        cost_half: cost.1,
        minutes: minutes.0,
        minutes_half: minutes.1,
        frontier,
    }
}

fn designs() -> TradeOff {
    TradeOff {
        title: "Shop: cost against violation".to_string(),
        currency: "USD".to_string(),
        points: vec![
            point("shop.toml", (23.4, 0.05), (212.0, 18.0), true),
            point("larger: max 16", (26.1, 0.07), (31.0, 9.0), true),
            point("larger and earlier: max 16, target 40", (26.3, 0.30), (29.0, 12.0), true),
            point("step scaling", (26.9, 0.4), (64.0, 15.0), false),
            point("scheduled", (29.5, 0.02), (0.0, 0.0), true),
            point("not & <a> number", (f64::NAN, 0.0), (1.0, 0.0), false),
        ],
    }
}

#[test]
fn every_design_has_its_name_and_both_axes_their_units() {
    let svg = String::from_utf8(trade_off_svg(&designs()).unwrap()).unwrap();
    for part in [
        "cost of the run (USD)",
        "SLA violated (minutes of the run)",
        "larger: max 16",
        "step scaling",
        "scheduled",
    ] {
        assert!(svg.contains(part), "{part}");
    }
    assert!(!svg.contains("number") && !svg.contains("NaN"), "what has no cost has no place");
    assert!(!svg.contains("without a name"));
    let png = trade_off_png(&designs()).unwrap();
    assert_eq!(&png[1..4], b"PNG");
    if let Some(folder) = std::env::var_os("SCALESIM_PICTURES") {
        std::fs::write(std::path::Path::new(&folder).join("trade-off.png"), png).unwrap();
    }
}

#[test]
fn a_crowd_says_how_many_names_found_no_room() {
    let mut crowd = designs();
    crowd.points = (0..400)
        .map(|i| {
            point(&format!("design {i}"), (20.0 + f64::from(i % 20), 0.1), (f64::from(i), 1.0), i % 40 == 0)
        })
        .collect();
    let svg = String::from_utf8(trade_off_svg(&crowd).unwrap()).unwrap();
    assert!(svg.contains("of 400 without a name"));
    assert!(svg.contains("design 360"), "those of the frontier are named first");
    if let Some(folder) = std::env::var_os("SCALESIM_PICTURES") {
        let png = trade_off_png(&crowd).unwrap();
        std::fs::write(std::path::Path::new(&folder).join("crowd.png"), png).unwrap();
    }
    crowd.points.clear();
    let svg = String::from_utf8(trade_off_svg(&crowd).unwrap()).unwrap();
    assert!(svg.contains("nothing to show"));
}
