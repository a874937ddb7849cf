//! Results as text or JSON, and exit codes.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::args::Common;
use crate::contract::{ContractError, ErrorKind};
use crate::plain::{line, lines};

/// What a command came to.
pub struct Outcome {
    /// For a person.
    pub text: String,
    /// For a program.
    pub json: Value,
    /// The exit code: 0 where everything is as it should be.
    pub exit: u8,
}

/// The exit code of what is not as it should be.
pub const NOT_OK: u8 = 1;
/// The exit code of a message that WeChat took and did not confirm.
pub const UNCONFIRMED: u8 = 6;

impl Outcome {
    /// A success.
    pub fn done(text: impl Into<String>, json: impl serde::Serialize) -> Outcome {
        // What a command returns is always plain data.
        Outcome { text: text.into(), json: serde_json::to_value(json).unwrap_or(Value::Null), exit: 0 }
    }
}

/// Prints a command's outcome and makes its exit code.
pub fn finish(common: &Common, outcome: Result<Outcome, ContractError>) -> ExitCode {
    match outcome {
        Ok(outcome) => {
            match common.json {
                true => println!("{:#}", outcome.json),
                false => println!("{}", lines(&outcome.text)),
            }
            ExitCode::from(outcome.exit)
        }
        Err(error) => {
            match common.json {
                true => println!("{:#}", json!({ "error": { "message": error.message, "data": error.data } })),
                false => eprintln!("error: {}", lines(&error.message)),
            }
            ExitCode::from(code(error.data.kind))
        }
    }
}

fn code(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::InvalidParams => 2,
        ErrorKind::AccountNotConfigured | ErrorKind::SessionExpired => 3,
        ErrorKind::Network => 4,
        ErrorKind::StoreFailed => 5,
        _ => 1,
    }
}

/// Lines of columns, each as wide as its widest cell. What people wrote stays in its cell.
pub fn table(rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| line(cell)).collect()).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0))
        .collect();
    let together = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(together).collect::<Vec<_>>().join("\n")
}
