//! What has to hold at the end, and the figures.

use std::collections::HashMap;

use ilink_simulator::{RejectedFilter, Sent};

use crate::common::{Bot, World};
use crate::gateway::Gateway;
use crate::metrics::Sample;
use crate::workload::{Answer, Workload};

/// What may not grow by more than this between the first quarter of a life and its last: a factor, and a number.
const OPEN_FILES: (f64, f64) = (1.2, 10.0);
const THREADS: (f64, f64) = (1.2, 6.0);
const MEMORY: (f64, f64) = (1.5, 0.0);
/// The part of a life in which everything fills up for the first time.
const WARM_UP: f64 = 0.1;
const MIB: f64 = 1024.0 * 1024.0;

/// Compares what reached people with what they were to be answered: each answer once, in order, the files whole.
pub fn compare(gateway: &mut Gateway, workload: &Workload, bots: &[Bot], world: &World) {
    let mut got: HashMap<(String, String), Vec<String>> = HashMap::new();
    for sent in world.sent() {
        let words = match seen(world, &sent) {
            Ok(words) => words,
            Err(problem) => return gateway.blame(problem),
        };
        got.entry((sent.bot_id.clone(), sent.to.clone())).or_default().extend(words);
    }
    for (who, person) in workload.all.iter().enumerate() {
        let answers = person.wrote.iter().enumerate().filter(|(n, _)| !gateway.lost.contains(&(who, *n)));
        let due: Vec<String> = answers.flat_map(|(_, wrote)| words_of(&wrote.answer)).collect();
        let got = got.remove(&(bots[person.bot].id.clone(), person.id.clone())).unwrap_or_default();
        if due != got {
            let at = due.iter().zip(&got).take_while(|(due, got)| due == got).count();
            let around =
                |words: &[String]| words[at.saturating_sub(6).min(words.len())..words.len().min(at + 6)].join(" ");
            gateway.blame(format!(
                "{} was to get {} words and got {}; they part at word {at}: {:?} instead of {:?}",
                person.id,
                due.len(),
                got.len(),
                around(&got),
                around(&due)
            ));
        }
    }
    got.keys().for_each(|(bot, to)| gateway.wrong.push(format!("{bot} wrote to {to}, who never wrote")));
}

/// Words, so that it does not matter where a long text was cut; a file is a word of its own.
fn words_of(answer: &Answer) -> Vec<String> {
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    match answer {
        Answer::Text(text) => words(text),
        Answer::File { name, md5, caption, .. } => {
            let mut all = caption.as_deref().map(words).unwrap_or_default();
            all.push(format!("[{name} {md5}]"));
            all
        }
    }
}

fn seen(world: &World, sent: &Sent) -> Result<Vec<String>, String> {
    if let Some(text) = &sent.text {
        return Ok(text.split_whitespace().map(str::to_owned).collect());
    }
    let content =
        world.control.sent_content(sent).map_err(|error| format!("{} cannot see a file: {error}", sent.to))?;
    let name = sent.media.as_ref().and_then(|media| media.file_name.clone()).unwrap_or_default();
    Ok(vec![format!("[{name} {}]", content.md5)])
}

/// What the server refused or dropped, by reason.
pub fn refusals(world: &World) -> Vec<(String, usize)> {
    let mut count: HashMap<String, usize> = HashMap::new();
    for rejected in world.control.rejected(&RejectedFilter::default()) {
        *count.entry(format!("{}: {} ({})", rejected.endpoint, rejected.reason, rejected.answer)).or_default() += 1;
    }
    let mut all: Vec<_> = count.into_iter().collect();
    all.sort();
    all
}

/// Prints the figures of the first life, its first quarter beside its last, and blames what grows.
pub fn flatness(gateway: &mut Gateway, samples: &[Sample]) {
    let first: Vec<&Sample> = samples.iter().filter(|sample| sample.life == 1).collect();
    let (Some(begin), Some(end)) = (first.first(), first.last()) else { return };
    let length = (end.at - begin.at).as_secs_f64();
    let part = |from: f64, to: f64| {
        let share = move |sample: &Sample| (sample.at - begin.at).as_secs_f64() / length;
        first.iter().copied().filter(|sample| (from..=to).contains(&share(sample))).collect::<Vec<_>>()
    };
    let quarter = (1.0 - WARM_UP) / 4.0;
    let (early, late) = (part(WARM_UP, WARM_UP + quarter), part(1.0 - quarter, 1.0));
    println!("\none process, {:.0} minutes ({} samples)\n", length / 60.0, first.len());
    println!("| figure | first quarter | last quarter | ratio | highest |");
    println!("| --- | --- | --- | --- | --- |");
    let mut row = |name: &str, of: &dyn Fn(&Sample) -> f64, may: Option<(f64, f64)>| {
        let (a, b) = (median(&early, of), median(&late, of));
        let highest = first.iter().map(|sample| of(sample)).fold(0.0, f64::max);
        println!("| {name} | {a:.1} | {b:.1} | {:.2} | {highest:.1} |", b / a);
        if may.is_some_and(|(factor, number)| b > a * factor + number) {
            gateway.blame(format!("{name} grew from {a:.1} to {b:.1}"));
        }
    };
    row("open files", &|sample| sample.open_files as f64, Some(OPEN_FILES));
    row("threads", &|sample| sample.threads as f64, Some(THREADS));
    row("memory (RSS), MiB", &|sample| sample.rss as f64 / MIB, Some(MEMORY));
    row("of it anonymous, MiB", &|sample| sample.anonymous as f64 / MIB, Some(MEMORY));
    row("database, MiB", &|sample| sample.database as f64 / MIB, None);
    row("its log, MiB", &|sample| sample.log as f64 / MIB, None);
    row("directory, MiB", &|sample| sample.directory as f64 / MIB, None);
    row("files in it", &|sample| sample.files as f64, None);
    println!("\nprocessor: {:.2} % of a core", (end.cpu - begin.cpu) / length * 100.0);
}

/// The highest figures of the lives that follow.
pub fn restarts(samples: &[Sample]) {
    let later: Vec<&Sample> = samples.iter().filter(|sample| sample.life > 1).collect();
    let Some(last) = later.last() else { return };
    let highest = |of: &dyn Fn(&Sample) -> f64| later.iter().map(|sample| of(sample)).fold(0.0, f64::max);
    println!("\n{} processes after it, {:.0} minutes\n", last.life - 1, (last.at - later[0].at).as_secs_f64() / 60.0);
    println!("| figure | highest | at the end |");
    println!("| --- | --- | --- |");
    let row = |name: &str, of: &dyn Fn(&Sample) -> f64| println!("| {name} | {:.1} | {:.1} |", highest(of), of(last));
    row("open files", &|sample| sample.open_files as f64);
    row("threads", &|sample| sample.threads as f64);
    row("memory (RSS), MiB", &|sample| sample.rss as f64 / MIB);
    row("database, MiB", &|sample| sample.database as f64 / MIB);
    row("directory, MiB", &|sample| sample.directory as f64 / MIB);
    row("files in it", &|sample| sample.files as f64);
}

fn median(samples: &[&Sample], of: &dyn Fn(&Sample) -> f64) -> f64 {
    let mut all: Vec<f64> = samples.iter().map(|sample| of(sample)).collect();
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
}
