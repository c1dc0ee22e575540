//! Tokens: how long the first took and the others, and what the engines did.

use scalesim::results::{Distribution, TokensResult};

use super::{Summary, count, short, times, value};

impl Summary<'_> {
    pub(super) fn tokens(&mut self) {
        let run = self.run;
        let clients = run.traffic.iter().map(|part| (format!("clients of {}", part.name), &part.tokens));
        let endpoints = run.endpoints.iter().map(|part| (part.name.clone(), &part.tokens));
        let parts: Vec<(String, &TokensResult)> =
            clients.chain(endpoints).filter_map(|(name, tokens)| Some((name, tokens.as_ref()?))).collect();
        let Some(width) = parts.iter().map(|(name, _)| name.chars().count()).max() else { return };
        let width = width.clamp(22, 36);
        self.page.section("Tokens");
        let first = parts.iter().map(|(name, tokens)| (name, &tokens.time_to_first_token));
        let further = parts.iter().map(|(name, tokens)| (name, &tokens.time_per_output_token));
        let first: Vec<(&String, &Distribution)> = first.collect();
        for (what, rows) in [("time to first token", first), ("time per output token", further.collect())] {
            self.page.line(format!(
                "  {what:<width$} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
                "requests", "mean", "p50", "p95", "p99", "max"
            ));
            rows.into_iter()
                .for_each(|(name, distribution)| self.page.line(times(name, distribution, width)));
        }
        for (name, tokens) in &parts[..run.traffic.iter().filter(|part| part.tokens.is_some()).count()] {
            let refused = match tokens.refused {
                0 => String::new(),
                refused => format!("; {} not taken by an engine", count(refused as f64)),
            };
            self.page.line(format!(
                "  {name}: {} tokens in, {} out ({}/s){refused}",
                count(tokens.input_tokens as f64),
                count(tokens.output_tokens as f64),
                short(tokens.output_tokens_per_second),
            ));
        }
        for group in &run.groups {
            let Some(engines) = &group.engines else { continue };
            self.page.line(format!(
                "  engines of {} ({}): batches of {} on average; {} sequences waited; KV cache {} full, {} at most; {} preemptions",
                group.name,
                engines.name,
                short(engines.mean_batch),
                short(engines.waiting),
                value(engines.kv_usage_mean, "%"),
                value(engines.kv_usage_max, "%"),
                count(engines.preemptions as f64),
            ));
        }
    }
}
