//! A plan as lines of names and values, for people.

use std::fmt;

/// Lines of a name and a value, the values in a column.
#[derive(Default)]
pub(super) struct Table(Vec<(String, String)>);

impl Table {
    /// Adds a line.
    pub(super) fn line(&mut self, name: &str, value: impl fmt::Display) {
        self.0.push((name.to_owned(), value.to_string()));
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.0.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        for (name, value) in &self.0 {
            let pad = width - name.chars().count();
            writeln!(f, "{name}{:pad$}  {value}", "")?;
        }
        Ok(())
    }
}

/// A time as people say it: "12 s", "3 min 20 s", "5 h 12 min", "3 d 4 h".
pub(super) fn duration(seconds: f64) -> String {
    let whole = seconds.round().max(0.0) as u64;
    let (minutes, hours, days) = (whole / 60, whole / 3600, whole / 86_400);
    match () {
        () if seconds < 10.0 => format!("{seconds:.1} s"),
        () if minutes == 0 => format!("{whole} s"),
        () if hours == 0 => format!("{minutes} min {} s", whole % 60),
        () if days == 0 => format!("{hours} h {} min", minutes % 60),
        () => format!("{days} d {} h", hours % 24),
    }
}

/// A number with its digits in groups of three.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_numbers_for_people() {
        assert_eq!(duration(2.34), "2.3 s");
        assert_eq!(duration(59.4), "59 s");
        assert_eq!(duration(200.0), "3 min 20 s");
        assert_eq!(duration(18_720.0), "5 h 12 min");
        assert_eq!(duration(273_600.0), "3 d 4 h");
        assert_eq!(grouped(1), "1");
        assert_eq!(grouped(76_800_000_000), "76 800 000 000");
    }

    #[test]
    fn values_stand_in_a_column() {
        let mut table = Table::default();
        table.line("blocks", 12);
        table.line("peak memory", "1.3 GB");
        assert_eq!(table.to_string(), "blocks       12\npeak memory  1.3 GB\n");
    }
}
