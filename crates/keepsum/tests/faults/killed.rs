//! `kill -9` at random moments of backups and restores: a hundred rounds, whose seed is printed.

use std::time::Duration;

use testkit::crash::{Tree, Volume};

use crate::place::{Place, shown};
use crate::promise::{Before, holds};
use crate::scenario::{BACKUPS, RESTORES, Scenario};

/// How many rounds, unless `KEEPSUM_KILLS` says otherwise.
const ROUNDS: u64 = 100;

/// The longest a command is left to run, in microseconds: about as long as it takes.
const LONGEST: u64 = 120_000;

async fn beginning(scenario: &Scenario) -> (Place, Before, Tree) {
    let place = Place::new();
    scenario.prepare(&place).await;
    let before = Before::of(&place).await;
    let beginning = Volume::read(&place.home()).unwrap().seen_tree();
    (place, before, beginning)
}

#[tokio::test]
async fn killed_at_random_moments() {
    let seed = testkit::seed::seed();
    let asked = std::env::var("KEEPSUM_KILLS").ok().map(|rounds| rounds.parse().unwrap());
    let rounds: u64 = asked.unwrap_or(ROUNDS);
    let mut prepared = Vec::new();
    let backups = [BACKUPS[0], BACKUPS[1], BACKUPS[2], BACKUPS[4]];
    let restores = [RESTORES[0], RESTORES[2], RESTORES[3], RESTORES[5], RESTORES[6]];
    let scenarios = [&backups[..], &restores[..]].concat();
    for scenario in &scenarios {
        prepared.push((scenario, beginning(scenario).await));
    }
    let mut ended = 0;
    for round in 0..rounds {
        let which = usize::try_from(round).unwrap() % scenarios.len();
        let (scenario, (place, before, beginning)) = &prepared[which];
        place.reset(beginning);
        let drawn = testkit::noise(seed.wrapping_add(round), 8);
        let wait = u64::from_le_bytes(drawn.try_into().unwrap()) % LONGEST;
        let mut command = place.command(&scenario.args(place));
        let mut running = command
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        tokio::time::sleep(Duration::from_micros(wait)).await;
        running.kill().unwrap();
        let output = running.wait_with_output().unwrap();
        let what = format!(
            "KEEPSUM_SEED={seed}, round {round}: {}, killed after {wait} us: {}",
            scenario.name,
            shown(&output)
        );
        // Some were faster than the signal; what holds, holds for them as well.
        ended += u64::from(output.status.success());
        holds(scenario, place, before, &what).await;
    }
    println!("{rounds} rounds of kill -9 (KEEPSUM_SEED={seed}): {ended} had ended before it");
    assert!(ended < rounds, "no command was killed in time");
}
