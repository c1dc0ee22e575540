//! Quantities as Kubernetes writes them: `"500m"`, `"512Mi"`.

use super::node::Value;
use super::reader::Read;
use super::units::Size;

/// The most vCPUs that anybody asks for.
const MOST_CPUS: f64 = 1e6;

/// vCPUs in thousandths, above zero: `"500m"`, `"1.5"` or `2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpu(pub u64);

impl Read for Cpu {
    const EXPECTED: &'static str = "vCPUs such as \"500m\", \"1.5\" or 2";
    fn read(value: &Value) -> Result<Self, String> {
        let (text, cpus) = match value {
            Value::Integer(cpus) => (cpus.to_string(), *cpus as f64),
            Value::Float(cpus) => (cpus.to_string(), *cpus),
            Value::String(text) => {
                let (digits, factor) = match text.strip_suffix('m') {
                    Some(digits) => (digits, 1e-3),
                    None => (text.as_str(), 1.0),
                };
                let number: f64 =
                    digits.trim().parse().map_err(|_| format!("`{text}` is no number of vCPUs"))?;
                (text.clone(), number * factor)
            }
            _ => return Err(String::new()),
        };
        let thousandths = (cpus * 1000.0).round();
        if thousandths >= 1.0 && cpus <= MOST_CPUS {
            Ok(Cpu(thousandths as u64))
        } else {
            Err(format!("`{text}` is less than a thousandth of a vCPU, or more than there are"))
        }
    }
    fn show(&self) -> toml::Value {
        toml::Value::String(format!("{}m", self.0))
    }
}

/// Bytes, above zero: `"512Mi"`, `"1Gi"`, and sizes as they are written elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes(pub u64);

impl Read for Bytes {
    const EXPECTED: &'static str = "memory such as \"512Mi\" or \"1Gi\"";
    fn read(value: &Value) -> Result<Self, String> {
        let Value::String(text) = value else { return Err(String::new()) };
        let unit = ["Ki", "Mi", "Gi", "Ti"].into_iter().find(|unit| text.ends_with(unit));
        let text = if unit.is_some() { format!("{text}B") } else { text.clone() };
        match Size::read(&Value::String(text))? {
            Size(0) => Err("it is nothing".to_string()),
            Size(bytes) => Ok(Bytes(bytes)),
        }
    }
    fn show(&self) -> toml::Value {
        const UNITS: [(&str, u64); 3] = [("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)];
        let even = UNITS.into_iter().find(|(_, factor)| self.0.is_multiple_of(*factor));
        toml::Value::String(match even {
            Some((unit, factor)) => format!("{}{unit}", self.0 / factor),
            None => format!("{} B", self.0),
        })
    }
}
