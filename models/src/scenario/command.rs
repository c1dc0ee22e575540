//! The command line that plays a scenario, for whoever wants to see what code has found.

/// `scalesim run shop.toml --set group.web.max=8`, with quotes where a shell needs them.
pub fn command(name: &str, overrides: &[(String, String)]) -> String {
    let set = overrides.iter().map(|(path, value)| format!(" --set {}", quoted(&format!("{path}={value}"))));
    format!("scalesim run {}{}", quoted(name), set.collect::<String>())
}

/// One word of a command line, for a POSIX shell.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./=:,%+@".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_string()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_a_shell_would_take_apart_are_quoted() {
        let set = |path: &str, value: &str| (path.to_string(), value.to_string());
        let overrides = [set("group.web.max", "8"), set("sla.0.objective", "p99 <= 1ms"), set("a", "it's")];
        assert_eq!(
            command("my shop.toml", &overrides),
            r"scalesim run 'my shop.toml' --set group.web.max=8 --set 'sla.0.objective=p99 <= 1ms' --set 'a=it'\''s'"
        );
    }
}
