//! Every distribution against its own distribution function and moments.

use proptest::prelude::*;
use rand::Rng;
use sim_core::Seed;
use sim_core::dist::Dist;
use sim_core::stats::Tally;
use statrs::distribution::{ChiSquared, ContinuousCDF};

const DRAWS: usize = 200_000;

fn all() -> Vec<(&'static str, Dist)> {
    let many = draws("many samples", &Dist::lognormal(3.0, 1.0).unwrap());
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
        ("many samples", Dist::from_samples(&many).unwrap()),
    ]
}

/// A name, a distribution of a few values only, and these values with their probabilities.
type Steps = (&'static str, Dist, Vec<(f64, f64)>);

fn steps() -> [Steps; 2] {
    let cache = Dist::from_quantiles(&[(0.0, 1.0), (0.9, 1.0), (0.9, 50.0), (1.0, 50.0)]).unwrap();
    let samples = Dist::from_samples(&[3.0, 1.0, 4.0, 3.0, 9.0]).unwrap();
    [
        ("cache", cache, vec![(1.0, 0.9), (50.0, 0.1)]),
        ("samples", samples, vec![(1.0, 0.2), (3.0, 0.4), (4.0, 0.2), (9.0, 0.2)]),
    ]
}

/// Draws with a tail so heavy that its largest thousandth carries a good part of the mean.
fn heavy(n: usize) -> Vec<f64> {
    let pareto = Dist::bounded_pareto(1.5, 1.0, 1e6).unwrap();
    let mut stream = Seed::new(12).stream("heavy");
    (0..n).map(|_| pareto.sample(&mut stream)).collect()
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

/// Pearson's test at a level of one in ten thousand.
#[test]
fn steps_come_as_often_as_they_should() {
    for (name, dist, expected) in steps() {
        let values = draws(name, &dist);
        let mut seen = 0;
        let statistic: f64 = expected
            .iter()
            .map(|&(value, share)| {
                let count = values.iter().filter(|&&drawn| drawn == value).count();
                let mean = share * DRAWS as f64;
                seen += count;
                (count as f64 - mean).powi(2) / mean
            })
            .sum();
        assert_eq!(seen, DRAWS, "{name}: nothing in between is drawn");
        let critical = ChiSquared::new(expected.len() as f64 - 1.0).unwrap().inverse_cdf(1.0 - 1e-4);
        assert!(statistic < critical, "{name}: {statistic} of {critical}");
        let mut sum = 0.0;
        for (value, share) in expected {
            assert!((dist.cdf(value - 1e-9) - sum).abs() < 1e-8, "{name} below {value}");
            sum += share;
            assert!((dist.cdf(value) - sum).abs() < 1e-12, "{name} at {value}");
        }
    }
}

#[test]
fn the_test_tells_distributions_apart() {
    let lognormal = Dist::lognormal(2.0, 0.80).unwrap();
    let other = Dist::lognormal(2.0, 0.82).unwrap();
    assert!(kolmogorov(draws("lognormal", &lognormal), &other) > KOLMOGOROV_CRITICAL);
}

#[test]
fn mean_and_scv_are_those_of_the_draws() {
    for (name, dist) in all().into_iter().chain(steps().into_iter().map(|(name, dist, _)| (name, dist))) {
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
/// else is in the build (`num-traits/std`), so they are pinned to the nanosecond, from both kinds of stream.
#[test]
fn draws_are_pinned() {
    fn nanos(dist: &Dist, bits: &mut impl Rng) -> u64 {
        dist.scaled(1e9).unwrap().span(bits).as_nanos()
    }
    let steps = steps().into_iter().map(|(name, dist, _)| (name, dist));
    let seen: Vec<(&str, [u64; 3])> = all()
        .into_iter()
        .chain(steps)
        .map(|(name, dist)| {
            let mut stream = Seed::new(42).stream(name);
            let keyed = nanos(&dist, &mut Seed::new(42).keyed(name).at(3));
            (name, [keyed, nanos(&dist, &mut stream), nanos(&dist, &mut stream)])
        })
        .collect();
    let pinned = [
        ("uniform", [4004784723, 2766896507, 4508455115]),
        ("exponential", [48966997, 6117072634, 6634114637]),
        ("erlang", [1285914728, 2409530023, 2503474735]),
        ("gamma", [30540870425, 335003297, 3175134891]),
        ("hyperexponential", [232089056, 21246540984, 714033057]),
        ("balanced", [566324310, 357979142, 2319657671]),
        ("lognormal", [2236109333, 1371557266, 3564494459]),
        ("weibull", [69406125, 245022777, 4400851345]),
        ("pareto", [1065633768, 3489662264, 1192010790]),
        ("quantiles", [5332533248, 1959198288, 8170693253]),
        ("many samples", [1275365358, 2259594493, 1675288857]),
        ("cache", [1000000000, 1000000000, 1000000000]),
        ("samples", [1000000000, 3000000000, 3000000000]),
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
        Dist::from_quantiles(&vec![(0.0, 0.0); 10_001]),
        Dist::from_quantiles(&[(0.0, 1.0), (0.6, 2.0), (0.5, 3.0), (1.0, 4.0)]),
        Dist::from_quantiles(&[(0.0, 1.0), (1.0, f64::INFINITY)]),
        Dist::from_samples(&[]),
        Dist::from_samples(&[1.0, f64::NAN]),
        Dist::from_samples(&[1e200, 1e-200]),
        Dist::lognormal(1.0, 1e160),
        Dist::gamma(1e308, 1e-10).and_then(|gamma| gamma.scaled(1e10)),
    ];
    for result in bad {
        assert!(result.unwrap_err().to_string().contains(' '));
    }
}

/// What a share of all values does not exceed, by the definition.
fn exact_quantile(sorted: &[f64], share: f64) -> f64 {
    sorted[((share * sorted.len() as f64).ceil() as usize).clamp(1, sorted.len()) - 1]
}

#[test]
fn many_samples_keep_their_mean_their_variance_and_their_tail() {
    for n in [1, 5, 4_095, 4_096, 6_143, 100_000, 1_000_000] {
        let mut samples = heavy(n);
        let dist = Dist::from_samples(&samples).unwrap();
        let tally: Tally = samples.iter().copied().collect();
        assert!((dist.mean() / tally.mean() - 1.0).abs() < 1e-4, "{n}: mean");
        let variance = tally.variance().map_or(0.0, |v| v * (n - 1) as f64 / n as f64);
        let scv = variance / tally.mean().powi(2);
        assert!((dist.scv() - scv).abs() <= 1e-4 * scv, "{n}: SCV {} for {scv}", dist.scv());
        samples.sort_by(f64::total_cmp);
        for share in [0.5, 0.99, 0.9999] {
            let slightly = 2.0 / n.min(2_048) as f64 * (1.0 - share);
            let value = exact_quantile(&samples, share);
            assert!((dist.cdf(value) - share).abs() < slightly + 1.0 / n as f64, "{n}: {share}");
        }
    }
}

/// The closed moments of the bounded Pareto distribution, also where alpha meets the order of the moment.
#[test]
fn pareto_moments_are_those_of_its_quantiles() {
    for alpha in [0.5, 1.0, 1.0 + 1e-12, 1.0 + 1e-7, 2.0, 2.0 - 1e-9, 3.0] {
        let pareto = Dist::bounded_pareto(alpha, 2.0, 200.0).unwrap();
        // Simpson's rule for the moments as integrals of P(X > x) and 2x·P(X > x), in the logarithm of x.
        let steps = 20_000;
        let width = 100f64.ln() / f64::from(steps);
        let (mut first, mut second) = (0.0, 0.0);
        for i in 0..=steps {
            let weight = if i == 0 || i == steps { 1.0 } else { f64::from(2 + 2 * (i % 2)) } * width / 3.0;
            let x = 2.0 * (width * f64::from(i)).exp();
            let beyond = 1.0 - pareto.cdf(x);
            first += weight * x * beyond;
            second += weight * 2.0 * x * x * beyond;
        }
        let (mean, square) = (2.0 + first, 4.0 + second);
        assert!((pareto.mean() / mean - 1.0).abs() < 1e-9, "{alpha}: {} for {mean}", pareto.mean());
        let scv = square / (mean * mean) - 1.0;
        assert!((pareto.scv() / scv - 1.0).abs() < 1e-9, "{alpha}: {} for {scv}", pareto.scv());
    }
}

#[test]
fn scaling_keeps_the_shape() {
    for (name, dist) in all() {
        let scaled = dist.scaled(250.0).unwrap();
        assert!((scaled.mean() / dist.mean() - 250.0).abs() < 1e-9, "{name}");
        assert!((scaled.scv() - dist.scv()).abs() < 1e-9 * dist.scv(), "{name}");
        assert!((scaled.cdf(500.0) - dist.cdf(2.0)).abs() < 1e-12, "{name}");
        for factor in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e308, 1e-323] {
            if let Ok(scaled) = dist.scaled(factor) {
                assert!(scaled.mean().is_finite() && scaled.scv().is_finite(), "{name} by {factor}");
            }
        }
        assert!(dist.scaled(0.0).is_err(), "{name}");
    }
}

fn anything() -> impl Strategy<Value = f64> {
    prop_oneof![0.0..10.0, any::<f64>(), Just(0.0), Just(1.0), (-300.0..300.0f64).prop_map(|e| 10f64.powf(e))]
}

proptest! {
    /// Whatever the parameters: refused, or a distribution whose draws and moments are numbers that are zero or more.
    #[test]
    fn no_parameters_make_a_broken_distribution(a in anything(), b in anything(), c in anything()) {
        let made = [
            Dist::constant(a), Dist::uniform(a, b), Dist::exponential(a), Dist::erlang(a as u32, b),
            Dist::gamma(a, b), Dist::hyperexponential_balanced(a, b), Dist::lognormal(a, b), Dist::weibull(a, b),
            Dist::hyperexponential(&[(a, b), (1.0 - a, c)]), Dist::bounded_pareto(a, b, c),
            Dist::from_quantiles(&[(0.0, a), (b, b), (1.0, c)]), Dist::from_samples(&[a, b, c]),
        ];
        for dist in made.into_iter().flatten() {
            prop_assert!(dist.mean() >= 0.0 && dist.scv() >= 0.0, "{dist:?}");
            prop_assert!(dist.mean().is_finite() && dist.scv().is_finite(), "{dist:?}");
            let mut draws = Seed::new(1).keyed("any").at(1);
            for _ in 0..20 {
                prop_assert!(dist.sample(&mut draws) >= 0.0, "{dist:?}");
            }
            let share = dist.cdf(c);
            prop_assert!((0.0..=1.0 + 1e-12).contains(&share), "{dist:?}: {share} at {c}");
        }
    }
}
