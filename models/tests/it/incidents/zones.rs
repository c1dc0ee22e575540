//! Zones that are lost.

use scalesim::results::ActivityKind;

use super::{CASE, Case, all_answered, instants, none_answered, of_kind};

/// A group of nine in three zones: three stop, and their replacements come up in the other two.
#[test]
fn a_lost_zone_is_replaced_by_the_others() {
    for check in ["\"ec2\"", "{ elb = {} }"] {
        let group = format!(
            "min = 9\nmax = 12\nzones = [\"a\", \"b\", \"c\"]\nhealth_check = {check}\nscaling = [{{ manual = {{ at = \"30min\", desired = 12 }} }}]"
        );
        let rest = "[[incident]]\nzone_loss = { zone = \"b\", at = \"10min\", for = \"15min\" }";
        let results = Case { rate: "90/s", group: &group, rest, ..CASE }.play();
        let began = of_kind(&results, ActivityKind::IncidentBegan);
        assert!(began[0].description.contains("3 of 9 instances stop"), "{}", began[0].description);
        let launches = of_kind(&results, ActivityKind::Launch);
        let zones = |from: f64, to: f64| -> Vec<&str> {
            let launches = launches.iter().filter(|launch| (from..to).contains(&launch.at));
            launches
                .map(|launch| launch.description.split("zone ").nth(1).unwrap().split(')').next().unwrap())
                .collect()
        };
        // Three in a and in c each are left: they take turns.
        assert_eq!(zones(600.0, 1_500.0), ["a", "c", "a"], "{check}");
        // The zone is back and has nobody: three come up there before three elsewhere go.
        assert_eq!(zones(1_500.0, 1_800.0), ["b", "b", "b"], "{check}");
        assert_eq!(zones(1_800.0, 2_400.0), ["a", "b", "c"], "{check}");
        let group = &results.run.groups[0];
        assert_eq!((group.terminated, group.serving_min, group.serving_max), (6, 6, 12), "{check}");
        let serving = results.run.series.iter().find(|row| row.at >= 1_400.0).unwrap().groups[0].serving;
        assert_eq!(serving, 9, "{check}");
        assert!(all_answered(&results, 15.0, 40.0), "{check}");
    }
}

/// Instances that are on their way up or down stop with their zone as well: none is left behind.
#[test]
fn whoever_starts_or_drains_in_a_lost_zone_is_gone() {
    let group = "min = 2\ndesired = 2\nmax = 9\nzones = [\"a\", \"b\"]\nscaling = [{ manual = { at = \"9min\", desired = 8 } }, { manual = { at = \"19min\", desired = 2 } }]";
    let rest = "[[incident]]\nzone_loss = { zone = \"a\", at = \"545s\", for = \"5min\" }\n[[incident]]\nzone_loss = { zone = \"b\", at = \"1141s\" }";
    let results = Case { rate: "50/s", steps: "{ wait = \"30s\" }", group, rest, ..CASE }.play();
    let began = of_kind(&results, ActivityKind::IncidentBegan);
    // Of eight, four in a: one runs, three are not there yet.
    assert!(began[0].description.contains("4 of 8 instances stop"), "{}", began[0].description);
    // Those that drain in b are cut at once; whoever stood there as the desired one is replaced in a.
    assert!(results.run.requests.conserved() && results.run.requests.failed > 0);
    let last = results.run.series.last().unwrap().groups[0];
    assert_eq!((last.serving, last.draining, last.starting), (2, 0, 0), "{last:?}");
}

/// A group with no other zone waits for it, and says so once.
#[test]
fn a_group_of_one_zone_waits_until_it_is_back() {
    let group = "min = 2\nhealth_check = { elb = {} }";
    let rest = "[[incident]]\nzone_loss = { zone = \"a\", at = \"10min\", for = \"10min\" }\n[[incident]]\nzone_loss = { zone = \"a\", at = \"15min\", for = \"10min\" }";
    let results = Case { group, rest, ..CASE }.play();
    let told = of_kind(&results, ActivityKind::NoAction);
    assert!(
        told.len() == 1 && told[0].description.contains("all zones of the group (a) are lost"),
        "{told:?}"
    );
    // The second loss holds the zone until 25 minutes.
    assert_eq!(instants(&results, ActivityKind::Launch), [1_500.0, 1_500.0]);
    assert_eq!(instants(&results, ActivityKind::IncidentBegan).len(), 1);
    assert!(none_answered(&results, 10.1, 25.0) && all_answered(&results, 27.0, 40.0));
}
