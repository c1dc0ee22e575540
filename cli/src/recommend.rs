//! `scalesim recommend`

use std::path::{Component, Path, PathBuf};

use clap::Args as ClapArgs;
use scalesim::Draft;
use scalesim::estimate::share;
use scalesim::experiment::recommend::answer::Recommendation;
use scalesim::experiment::recommend::{MOST_DAYS, Question, RecommendError, Verdict, Watching, recommend};
use scalesim::experiment::sweep::Axis;
use scalesim_report::{RECOMMENDATION_ARTEFACTS, json, render_recommendation};

use crate::args::ScenarioArgs;
use crate::progress::Spinner;
use crate::run::stop_on_interrupt;
use crate::{Failure, draft, exit, files, output, tell};

/// What `--help` says at its end.
pub const HELP: &str = "\
A day is one run of the scenario; it is kept when every objective is. A candidate holds when at least --days-kept of days are,
which a sequential test decides: some 39 kept days in a row accept, two or so broken ones reject.

  scalesim recommend shop.toml                                       the sizes of all groups
  scalesim recommend shop.toml --vary group.web.min=1..40            one variable over a range: bracket and bisect
  scalesim recommend shop.toml --vary group.web.min=2,4,8            a list, or several variables: all are compared
      --vary group.web.machine=c7g.large,c7g.xlarge
  scalesim recommend shop.toml --largest traffic.web.profile.constant=100/s..5000/s
                                                                     the largest load that holds

Exit codes: 0 there is a recommendation (also to keep what there is), 1 nothing in the range holds, 2 the scenario or the command
line is wrong, 3 inconclusive, 130 interrupted.";

#[derive(Debug, ClapArgs)]
pub struct RecommendArgs {
    #[command(flatten)]
    pub scenario: ScenarioArgs,

    /// What to vary; may be repeated. A path or several with commas, and a range or a list: `LOW..HIGH`, `LOW..HIGH:STEP`,
    /// `4,8,16`.
    ///
    /// One range is bisected, under the assumption that more never breaks what less keeps; days that contradict it are told,
    /// and then all candidates of the range are tested. Without this option the sizes of groups are varied.
    #[arg(long, value_name = "PATH=VALUES")]
    pub vary: Vec<Axis>,

    /// Find the largest value that holds, such as a load, in place of the cheapest configuration.
    #[arg(long, value_name = "PATH=LOW..HIGH", conflicts_with = "vary")]
    pub largest: Option<Axis>,

    /// The share of days on which every objective has to be kept.
    #[arg(long, value_name = "SHARE", default_value = "90%", value_parser = share)]
    pub days_kept: f64,

    /// How sure to be of the whole answer.
    #[arg(long, value_name = "SHARE", default_value = "95%", value_parser = share)]
    pub confidence: f64,

    /// The share of the cost that does not matter.
    #[arg(long, value_name = "SHARE", default_value = "1%", value_parser = share)]
    pub indifference: f64,

    /// How far apart values are, of a range that has no list of its own such as `100/s..5000/s`.
    #[arg(long, value_name = "SHARE", default_value = "2%", value_parser = share)]
    pub tolerance: f64,

    /// The most days to play of a candidate; where they do not say whether it holds it is inconclusive.
    #[arg(long, value_name = "N", default_value_t = MOST_DAYS, value_parser = clap::value_parser!(u32).range(10..=100_000))]
    pub most_days: u32,

    /// Another seed than the scenario's.
    #[arg(long)]
    pub seed: Option<u64>,

    /// Where to write the scenario that is recommended, recommendation.json and plots [default: out/<name of the
    /// file>-recommend].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,

    /// Print recommendation.json to standard output instead of the summary; writes files only with --out.
    #[arg(long)]
    pub json: bool,

    /// No progress, and no word about where files went.
    #[arg(long, short)]
    pub quiet: bool,
}

/// Finds the cheapest configuration that holds, and writes it as a scenario.
pub fn run(args: &RecommendArgs) -> Result<u8, Failure> {
    let beside = files::Beside::new(&args.scenario.file);
    let draft = draft(&args.scenario, &beside)?;
    draft.read().map_err(|diagnostics| Failure::Scenario(Box::new(diagnostics)))?; // before anything is written
    let folder = output::folder(args.out.as_ref(), args.json, &args.scenario.file, "-recommend");
    if let Some(folder) = &folder {
        files::prepare(folder)?;
    }
    let stop = stop_on_interrupt(|| {});
    let spinner = Spinner::new(args.quiet);
    let progress = |standing: scalesim::experiment::recommend::Progress| {
        let share = standing.looked_at as f64 / standing.candidates.max(1) as f64;
        let of = format!("{} of {} candidates", standing.looked_at, standing.candidates);
        spinner.update(share, &format!("{} days, {of}", standing.days));
    };
    let watching = Watching { stop: Some(&*stop), progress: Some(&progress) };
    let answer = recommend(&draft, &question(args), watching);
    spinner.finish();
    let answer = answer.map_err(|error| match error {
        RecommendError::Scenario(diagnostics) => Failure::Scenario(diagnostics),
        other => Failure::Usage(other.to_string()),
    })?;
    let written = match &folder {
        Some(folder) => write(&answer, &draft, folder, &args.scenario.file)?,
        None => None,
    };
    output::print(args.json, || json(&answer), |style| render_recommendation(&answer, style))?;
    if let Some(folder) = folder.filter(|_| !args.quiet) {
        match written {
            Some(scenario) => tell(&format!(
                "\n`scalesim run {}` plays it; candidates.png and recommendation.json are beside it",
                folder.join(scenario).display()
            )),
            None => tell(&format!("\ncandidates.png and recommendation.json are in {}", folder.display())),
        }
    }
    Ok(code(&answer))
}

fn question(args: &RecommendArgs) -> Question {
    Question {
        vary: args.vary.clone(),
        largest: args.largest.clone(),
        days_kept: args.days_kept,
        confidence: args.confidence,
        indifference: args.indifference,
        tolerance: args.tolerance,
        most_days: args.most_days,
        seed: args.seed,
    }
}

fn code(answer: &Recommendation) -> u8 {
    match answer.verdict {
        _ if !answer.finished => exit::INTERRUPTED,
        Verdict::Change | Verdict::Keep => exit::OK,
        Verdict::NothingHolds => exit::VIOLATED,
        Verdict::Inconclusive => exit::UNFINISHED,
    }
}

/// Writes all files, and says which of them is the scenario.
fn write(
    answer: &Recommendation,
    draft: &Draft<'_>,
    folder: &Path,
    file: &Path,
) -> Result<Option<String>, Failure> {
    let scenario = answer.file(draft, &back(folder, file));
    let scenario = scenario.map_err(|error| Failure::Unfinished(error.to_string()))?;
    let name = format!("{}.toml", output::stem(file).to_string_lossy());
    let mut made = output::make(&RECOMMENDATION_ARTEFACTS, answer)?;
    let recommended = scenario.is_some();
    made.extend(scenario.map(|text| (name.as_str(), text.into_bytes())));
    files::write_all(folder, &made)?;
    drop(made);
    Ok(recommended.then_some(name))
}

/// The way from a folder to that of a file, for paths in it. Where the folder's own path is not plain, the whole path.
fn back(folder: &Path, file: &Path) -> PathBuf {
    let from = if file == Path::new("-") { Path::new("") } else { file.parent().unwrap_or(Path::new("")) };
    let plain = |path: &Path| path.components().all(|part| matches!(part, Component::Normal(_)));
    if from.is_relative() && plain(folder) {
        let up: PathBuf = folder.components().map(|_| "..").collect();
        return up.join(from);
    }
    let here = if from.as_os_str().is_empty() { Path::new(".") } else { from };
    std::path::absolute(here).unwrap_or_else(|_| here.to_path_buf())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_back_from_where_the_scenario_is_written() {
        let of = |folder: &str, file: &str| back(Path::new(folder), Path::new(file));
        assert_eq!(of("out/shop-recommend", "shop.toml"), Path::new("../.."));
        assert_eq!(of("out/shop-recommend", "days/shop.toml"), Path::new("../../days"));
        assert_eq!(of("out/shop-recommend", "-"), Path::new("../.."));
        assert_eq!(of("out/shop-recommend", "/srv/shop.toml"), Path::new("/srv"));
        assert!(of("/tmp/elsewhere", "shop.toml").is_absolute());
        assert!(of("../elsewhere", "days/shop.toml").is_absolute());
    }

    #[test]
    fn shares_are_percent_or_parts_of_one() {
        assert_eq!((share("95%"), share("0.95"), share(" 5 %")), (Ok(0.95), Ok(0.95), Ok(0.05)));
        assert!(share("95").is_err() && share("-1%").is_err() && share("many").is_err());
    }
}
