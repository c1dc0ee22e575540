//! Every distribution against its own distribution function and moments.

use sim_core::Seed;
use sim_core::dist::Dist;
use sim_core::stats::Tally;

const DRAWS: usize = 200_000;

fn all() -> Vec<(&'static str, Dist)> {
    vec![
        ("uniform", Dist::uniform(2.0, 6.0).unwrap()),
        ("exponential", Dist::exponential(3.0).unwrap()),
        ("erlang", Dist::erlang(4, 2.0).unwrap()),
        ("gamma", Dist::gamma(5.0, 1.5).unwrap()),
        ("hyperexponential", Dist::hyperexponential(&[(0.2, 10.0), (0.5, 1.0), (0.3, 0.1)]).unwrap()),
        ("balanced", Dist::hyperexponential_balanced(2.0, 4.0).unwrap()),
        ("lognormal", Dist::lognormal(2.0, 0.8).unwrap()),
        ("weibull", Dist::weibull(0.7, 3.0).unwrap()),
        ("pareto", Dist::bounded_pareto(2.5, 1.0, 100.0).unwrap()),
        ("quantiles", Dist::from_quantiles(&[(0.0, 1.0), (0.5, 2.0), (0.99, 10.0), (1.0, 50.0)]).unwrap()),
        ("samples", Dist::from_samples(&[3.0, 1.0, 4.0, 1.5, 9.0]).unwrap()),
    ]
}

fn draws(name: &str, dist: &Dist) -> Vec<f64> {
    let mut stream = Seed::new(11).stream(name);
    (0..DRAWS).map(|_| dist.sample(&mut stream)).collect()
}

/// The Kolmogorov-Smirnov statistic times the root of the sample size.
fn kolmogorov(mut sample: Vec<f64>, dist: &Dist) -> f64 {
    sample.sort_by(f64::total_cmp);
    let n = sample.len() as f64;
    let gap = |(i, &x): (usize, &f64)| {
        let p = dist.cdf(x);
        (p - i as f64 / n).abs().max((p - (i + 1) as f64 / n).abs())
    };
    sample.iter().enumerate().map(gap).fold(0.0, f64::max) * n.sqrt()
}

/// Exceeded by a correct sampler once in ten thousand tries.
const KOLMOGOROV_CRITICAL: f64 = 2.23;

#[test]
fn samples_follow_the_distribution_function() {
    for (name, dist) in all() {
        let statistic = kolmogorov(draws(name, &dist), &dist);
        assert!(statistic < KOLMOGOROV_CRITICAL, "{name}: {statistic}");
    }
}

#[test]
fn the_test_tells_distributions_apart() {
    let lognormal = Dist::lognormal(2.0, 0.80).unwrap();
    let other = Dist::lognormal(2.0, 0.82).unwrap();
    assert!(kolmogorov(draws("lognormal", &lognormal), &other) > KOLMOGOROV_CRITICAL);
}

#[test]
fn mean_and_scv_are_those_of_the_samples() {
    for (name, dist) in all() {
        let values = draws(name, &dist);
        let mean = dist.mean();
        let error = |tally: &Tally| 4.4 * (tally.variance().unwrap() / tally.count() as f64).sqrt();
        let sample: Tally = values.iter().copied().collect();
        assert!((sample.mean() - mean).abs() < error(&sample), "{name}: mean {} for {mean}", sample.mean());
        let squares: Tally = values.iter().map(|x| (x / mean - 1.0).powi(2)).collect();
        let scv = dist.scv();
        assert!((squares.mean() - scv).abs() < error(&squares), "{name}: SCV {} for {scv}", squares.mean());
    }
}

#[test]
fn constants_are_constant() {
    let dist = Dist::constant(5.0).unwrap();
    let mut stream = Seed::new(1).stream("constant");
    assert!((0..10).all(|_| dist.sample(&mut stream) == 5.0));
    assert_eq!((dist.mean(), dist.scv(), dist.cdf(4.9), dist.cdf(5.0)), (5.0, 0.0, 0.0, 1.0));
    assert_eq!(dist.constant_span().unwrap().as_nanos(), 5);
    assert_eq!(Dist::exponential(1.0).unwrap().constant_span(), None);
}

/// A change here changes results: it needs a "Results change" note in the changelog. The draws must not depend on what
/// else is in the build (`rand_distr/std`), so they are pinned to the nanosecond.
#[test]
fn draws_are_pinned() {
    let seen: Vec<(&str, u64)> = all()
        .into_iter()
        .map(|(name, dist)| {
            let nanos = Dist::constant(dist.sample(&mut Seed::new(42).keyed(name).at(3)) * 1e9).unwrap();
            (name, nanos.constant_span().unwrap().as_nanos())
        })
        .collect();
    let pinned = [
        ("uniform", 4004784723),
        ("exponential", 48966997),
        ("erlang", 1285914728),
        ("gamma", 30540870425),
        ("hyperexponential", 232089056),
        ("balanced", 566324310),
        ("lognormal", 2236109333),
        ("weibull", 69406125),
        ("pareto", 1065633768),
        ("quantiles", 5332533248),
        ("samples", 1292768958),
    ];
    assert_eq!(seen, pinned);
}

#[test]
fn impossible_parameters_are_refused_with_a_sentence() {
    let bad = [
        Dist::constant(-1.0),
        Dist::uniform(3.0, 2.0),
        Dist::exponential(0.0),
        Dist::exponential(f64::NAN),
        Dist::erlang(0, 1.0),
        Dist::gamma(1.0, 0.0),
        Dist::hyperexponential(&[(0.5, 1.0)]),
        Dist::hyperexponential_balanced(1.0, 0.5),
        Dist::hyperexponential_balanced(1.0, 1e300),
        Dist::lognormal(f64::INFINITY, 1.0),
        Dist::weibull(0.0, 1.0),
        Dist::bounded_pareto(1.0, 5.0, 5.0),
        Dist::from_quantiles(&[(0.0, 1.0), (0.5, 2.0)]),
        Dist::from_quantiles(&[(0.0, 3.0), (1.0, 2.0)]),
        Dist::from_samples(&[]),
    ];
    for result in bad {
        assert!(result.unwrap_err().to_string().contains(' '));
    }
}

#[test]
fn many_samples_are_thinned_to_quantiles() {
    let samples: Vec<f64> = (0..100_000).map(f64::from).collect();
    let dist = Dist::from_samples(&samples).unwrap();
    assert!((dist.mean() - 49_999.5).abs() < 1.0);
    assert!((dist.cdf(25_000.0) - 0.25).abs() < 1e-4);
}
