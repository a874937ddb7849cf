//! Figures beside their floors and aims: a table for people, with `--json` one JSON line as well.

use serde_json::{Value, json};

use super::args::flag;

/// What a figure should be.
#[derive(Clone, Copy)]
pub enum Aim {
    /// This or less.
    AtMost(f64),
    /// This or more.
    AtLeast(f64),
}

struct Row {
    name: String,
    unit: &'static str,
    value: f64,
    aim: Option<Aim>,
    floor: Option<(String, f64)>,
}

/// The figures of one benchmark.
pub struct Report {
    title: String,
    rows: Vec<Row>,
}

impl Report {
    /// Nothing is measured yet.
    pub fn new(title: impl Into<String>) -> Report {
        Report { title: title.into(), rows: Vec::new() }
    }

    /// A figure with the floor that it stands on.
    pub fn figure(&mut self, name: &str, unit: &'static str, value: f64, aim: Option<Aim>, floor: (&str, f64)) {
        let floor = Some((floor.0.to_owned(), floor.1));
        self.rows.push(Row { name: name.to_owned(), unit, value, aim, floor });
    }

    /// A number that explains others.
    pub fn note(&mut self, name: &str, unit: &'static str, value: f64) {
        self.rows.push(Row { name: name.to_owned(), unit, value, aim: None, floor: None });
    }

    /// Prints everything.
    pub fn print(&self) {
        println!("\n{}\n", self.title);
        let head = ["figure", "value", "aim", "", "floor", "value", "ratio"].map(str::to_owned);
        let rows: Vec<[String; 7]> = std::iter::once(head).chain(self.rows.iter().map(Row::cells)).collect();
        let widths: [usize; 7] =
            std::array::from_fn(|n| rows.iter().map(|row| row[n].chars().count()).max().unwrap_or(0));
        for row in &rows {
            let cells = row.iter().enumerate().map(|(n, cell)| match n {
                0 | 3 | 4 => format!("{cell:<w$}", w = widths[n]),
                _ => format!("{cell:>w$}", w = widths[n]),
            });
            println!("  {}", cells.collect::<Vec<_>>().join("  ").trim_end());
        }
        if flag("--json") {
            let rows: Vec<Value> = self.rows.iter().map(Row::json).collect();
            println!("{}", json!({ "benchmark": self.title, "figures": rows }));
        }
    }
}

impl Row {
    fn met(&self) -> Option<bool> {
        self.aim.map(|aim| match aim {
            Aim::AtMost(aim) => self.value <= aim,
            Aim::AtLeast(aim) => self.value >= aim,
        })
    }

    fn ratio(&self) -> Option<f64> {
        self.floor.as_ref().map(|(_, floor)| self.value / floor)
    }

    fn cells(&self) -> [String; 7] {
        let aim = self.aim.map_or_else(String::new, |aim| match aim {
            Aim::AtMost(aim) => format!("≤ {}", number(aim)),
            Aim::AtLeast(aim) => format!("≥ {}", number(aim)),
        });
        let met = self.met().map_or("", |met| if met { "met" } else { "MISSED" });
        let (floor, floor_value) =
            self.floor.as_ref().map_or_else(Default::default, |(name, value)| (name.clone(), number(*value)));
        let ratio = self.ratio().map_or_else(String::new, |ratio| format!("{ratio:.2}×"));
        let value = format!("{} {}", number(self.value), self.unit);
        [self.name.clone(), value, aim, met.to_owned(), floor, floor_value, ratio]
    }

    fn json(&self) -> Value {
        let aim = self.aim.map(|aim| match aim {
            Aim::AtMost(aim) => json!({ "atMost": aim }),
            Aim::AtLeast(aim) => json!({ "atLeast": aim }),
        });
        json!({
            "name": self.name,
            "unit": self.unit,
            "value": self.value,
            "aim": aim,
            "met": self.met(),
            "floor": self.floor.as_ref().map(|(name, value)| json!({ "name": name, "value": value })),
            "ratio": self.ratio(),
        })
    }
}

/// Three digits that mean something, thousands kept whole.
fn number(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        v if v >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}
