//! Child processes: run them, read them, and name them so that a reader can repeat the call.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Runs a command with this process's own output; an error names the command to repeat.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start `{}`", name(command)))?;
    if !status.success() {
        bail!("{status}; to repeat it:\n  {}", shell_line(command));
    }
    Ok(())
}

/// Runs a command and returns what it printed; its error output goes to this process's own.
pub(crate) fn read(command: &mut Command) -> Result<String> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start `{}`", name(command)))?;
    if !output.status.success() {
        bail!("{}; to repeat it:\n  {}", output.status, shell_line(command));
    }
    String::from_utf8(output.stdout)
        .with_context(|| format!("`{}` printed something that is no UTF-8", name(command)))
}

/// What a command prints, or nothing where it is absent or fails: for probing what a machine has.
pub(crate) fn probe(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Runs a command and hands over each line it prints as it comes.
pub(crate) fn run_watched(command: &mut Command, mut line: impl FnMut(&str)) -> Result<()> {
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{}`", name(command)))?;
    let stdout = child.stdout.take().context("a piped child has an output")?;
    let mut reader = BufReader::new(stdout);
    let mut bytes = Vec::new();
    while reader.read_until(b'\n', &mut bytes).context("cannot read what a child prints")? > 0 {
        line(String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\r']));
        bytes.clear();
    }
    let status = child.wait().context("cannot wait for a child")?;
    if !status.success() {
        bail!("{status}; to repeat it:\n  {}", shell_line(command));
    }
    Ok(())
}

fn name(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}

/// The command as a shell would take it, with its folder and the variables set for it.
fn shell_line(command: &Command) -> String {
    let folder = command.get_current_dir().map(|folder| quoted(&folder.to_string_lossy()));
    let variables = command.get_envs().filter_map(|(variable, value)| {
        Some(format!("{}={}", variable.to_string_lossy(), quoted(&value?.to_string_lossy())))
    });
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> =
        variables.chain(words.map(|word| quoted(&word.to_string_lossy()))).collect();
    folder.map(|folder| format!("cd {folder} && ")).unwrap_or_default() + &words.join(" ")
}

/// The arguments of a command as a shell would take them.
pub(crate) fn arguments(command: &Command) -> String {
    command.get_args().map(|word| quoted(&word.to_string_lossy())).collect::<Vec<_>>().join(" ")
}

/// A word as a shell would take it.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_command_is_named_with_its_variables_and_quotes() {
        let mut command = Command::new("sh");
        command.args(["-c", "exit 3"]).env("GREETING", "it's").current_dir("/");
        let message = run(&mut command).expect_err("the command exits with 3").to_string();
        assert!(message.contains(r"cd / && GREETING='it'\''s' sh -c 'exit 3'"), "{message}");
    }

    #[test]
    fn watched_lines_arrive_one_by_one_the_unfinished_last_one_included() {
        let mut lines = Vec::new();
        let mut command = Command::new("printf");
        command.arg("one\\ntwo");
        run_watched(&mut command, |line| lines.push(line.to_owned())).expect("printf works");
        assert_eq!(lines, ["one", "two"]);
    }

    #[test]
    fn probing_for_an_absent_program_is_no_error() {
        assert_eq!(probe("a-program-that-nobody-has", &["--version"]), None);
    }
}
